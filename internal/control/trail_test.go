package control_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"sluice/internal/control"
	"sluice/internal/control/audit"
	"sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/store/sqlstore"
)

// Everybody sees the rows of what their roles are towards, page by page, and nobody
// others'. The export is whole, for platform-admins.
func TestTheAuditLogIsReadByRole(t *testing.T) {
	store, err := sqlstore.Open(t.Context(), filepath.Join(t.TempDir(), "control.db"), sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	sealer, err := control.NewSealer(t.Context(), store, key, audit.SealerDeps{Now: time.Now, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	var told int64
	plane, err := control.New(t.Context(), control.Deps{Store: control.Watched(store, func(n int64) { told = n }), Sealer: sealer, Log: slog.New(slog.DiscardHandler), Seed: make([]byte, 32)})
	if err != nil {
		t.Fatal(err)
	}
	owners := []identity.Owner{{}, {Organisation: "acme"}, {Organisation: "acme", Team: "shop"}, {Organisation: "acme", Team: "erp"}, {Organisation: "other"}, {Organisation: "other", Team: "x"}}
	const each = 40
	if err := store.Write(t.Context(), func(w control.Writer) error {
		for i := range each * len(owners) {
			o := owners[i%len(owners)]
			if _, err := w.AppendAudit(audit.Row{Time: time.Now(), Actor: "person ada", Action: "apply", Kind: "API", Name: fmt.Sprint(i), Organisation: o.Organisation, Team: o.Team, Result: "ok"}); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	as := func(roles ...identity.Membership) identity.Actor { return identity.Someone("u", false, roles) }
	in := func(role identity.Role, organisation, team string) identity.Membership {
		return identity.Membership{Role: role, Organisation: organisation, Team: team}
	}
	for _, c := range []struct {
		name  string
		actor identity.Actor
		query audit.Query
		want  string // owners of rows, or the kind of fault
	}{
		{"a platform-admin sees all", identity.Someone("root", true, nil), audit.Query{}, "/ acme/ acme/erp acme/shop other/ other/x"},
		{"a platform-admin, of an organisation", identity.Someone("root", true, nil), audit.Query{Organisation: "acme"}, "acme/ acme/erp acme/shop"},
		{"an auditor of an organisation", as(in(identity.Auditor, "acme", "")), audit.Query{}, "acme/ acme/erp acme/shop"},
		{"an auditor of a team", as(in(identity.Auditor, "acme", "shop")), audit.Query{}, "acme/shop"},
		{"an auditor of two", as(in(identity.Auditor, "acme", "shop"), in(identity.OrgAdmin, "other", "")), audit.Query{}, "acme/shop other/ other/x"},
		{"an auditor of two, of one", as(in(identity.Auditor, "acme", "shop"), in(identity.OrgAdmin, "other", "")), audit.Query{Organisation: "acme"}, "acme/shop"},
		{"an auditor who is a publisher elsewhere", as(in(identity.Auditor, "acme", "erp"), in(identity.Publisher, "other", "")), audit.Query{}, "acme/erp"},
		{"an auditor, of a foreign organisation", as(in(identity.Auditor, "acme", "")), audit.Query{Organisation: "other"}, "not found"},
		{"an auditor, of another team", as(in(identity.Auditor, "acme", "shop")), audit.Query{Organisation: "acme", Team: "erp"}, "denied"},
		{"a publisher", as(in(identity.Publisher, "acme", "shop")), audit.Query{}, "denied"},
		{"a publisher, of the own organisation", as(in(identity.Publisher, "acme", "shop")), audit.Query{Organisation: "acme"}, "denied"},
		{"somebody", as(), audit.Query{}, "denied"},
		{"somebody, of an organisation", as(), audit.Query{Organisation: "acme"}, "not found"},
	} {
		got, last := map[string]int{}, int64(1<<62)
		c.query.Limit = 7
		var err error
		for pages := 0; ; pages++ {
			var page []audit.Row
			if page, c.query.Before, err = plane.Audit(t.Context(), control.Request{Actor: c.actor}, c.query); err != nil || pages > 200 {
				break
			}
			for _, r := range page {
				if r.Seq >= last {
					t.Errorf("%s: row %d is behind row %d", c.name, r.Seq, last)
				}
				last = r.Seq
				got[r.Organisation+"/"+r.Team]++
			}
			if c.query.Before == 0 {
				break
			}
		}
		var words []string
		for _, o := range owners {
			if n := got[o.Organisation+"/"+o.Team]; n == each {
				words = append(words, o.Organisation+"/"+o.Team)
			} else if n != 0 {
				t.Errorf("%s: %d rows of %s", c.name, n, o)
			}
		}
		slices.Sort(words)
		text := strings.Join(words, " ")
		if err != nil {
			text = strings.ReplaceAll(string(fault.KindOf(err)), "_", " ")
		}
		if text != c.want {
			t.Errorf("%s: got %q, want %q (%v)", c.name, text, c.want, err)
		}
	}

	var file bytes.Buffer
	q := control.Request{Actor: as(in(identity.Auditor, "acme", ""))}
	if err := plane.ExportAudit(t.Context(), q, 1, &file); fault.KindOf(err) != fault.Denied || file.Len() > 0 {
		t.Errorf("an auditor exports everything: %v", err)
	}
	q.Actor = identity.Someone("root", true, nil)
	if err := plane.ExportAudit(t.Context(), q, 1, &file); err != nil {
		t.Fatal(err)
	}
	rows := int64(each*len(owners)) + 1
	report, err := audit.Verify(&file, audit.VerifyOptions{Keys: []ed25519.PublicKey{sealer.PublicKey()}})
	if err != nil || len(report.Findings) > 0 || report.Rows != rows || report.Signed != rows || told != rows {
		b, _ := json.Marshal(report)
		t.Errorf("%s, told of %d, %v", b, told, err)
	}
}
