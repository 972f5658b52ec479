package identity_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	. "sluice/internal/control/identity"
	"sluice/internal/fault"
	"sluice/internal/resource"
)

// grid reads a table of testdata: lines that begin with "#" are for people, the first
// one that begins with a space has the columns. The last fields of a line are cells.
func grid(t *testing.T, file string, each func(row, column, cell string)) {
	t.Helper()
	text, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	var columns []string
	for i, line := range strings.Split(string(text), "\n") {
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0 || line[0] == '#':
		case columns == nil:
			columns = fields
		case len(fields) <= len(columns):
			t.Fatalf("%s:%d: too few cells", file, i+1)
		default:
			at := len(fields) - len(columns)
			for n, c := range columns {
				each(strings.Join(fields[:at], " "), c, fields[at+n])
			}
		}
	}
}

// words are the operations as rights.txt writes them.
var words = map[string]Operation{
	"read": Read, "read-backing": ReadBacking, "write": Write, "delete": Delete, "use": Use, "import": Import, "consent": Consent, "read-records": ReadRecords, "write-records": WriteRecords, "approve": Approve, "deploy": Deploy, "discuss": Discuss, "note": Note, "read-notes": ReadNotes, "waive": Waive, "rotate": Rotate,
	"revoke": Revoke, "invite": Invite, "read-audit": ReadAudit, "read-notifications": ReadNotifications, "read-usage": ReadUsage, "read-bills": ReadBills, "write-bills": WriteBills,
	"manage-people": ManagePeople, "administer": AdministerPlatform, "read-feed": ReadFeed, "send-usage": SendUsage,
}

// relations are an actor's to an object, as the letters of rights.txt.
var relations = []struct {
	name            string
	owner, provider Owner
	team, whole     byte // letter for a role in team shop of acme, and in all of acme
}{
	{"own", Owner{"acme", "shop"}, Owner{"foreign", "shop"}, 'o', 'o'},
	{"sister's", Owner{"acme", "erp"}, Owner{"foreign", "shop"}, 's', 'o'},
	{"own product's", Owner{"foreign", "shop"}, Owner{"acme", "shop"}, 'v', 'v'},
	{"sister's product's", Owner{"foreign", "shop"}, Owner{"acme", "erp"}, 'x', 'v'}, // x: in no cell
	{"platform's", Owner{}, Owner{}, 'p', 'p'},
	{"foreign", Owner{"foreign", "shop"}, Owner{"foreign", "shop"}, 'f', 'f'},
}

type tryer struct {
	name   string
	actor  Actor
	letter func(relation int) byte
	member string // the organisation it has a role in
}

// tryers are those who try, for a column of rights.txt.
func tryers(column string) []tryer {
	team := func(r int) byte { return relations[r].team }
	whole := func(r int) byte { return relations[r].whole }
	role := map[string]Role{"O": OrgAdmin, "B": Publisher, "A": Approver, "D": AppDeveloper, "F": BillingAdmin, "U": Auditor}[column]
	switch column {
	case "P":
		admin := Someone("root", true, nil)
		return []tryer{{"platform-admin", admin, team, ""}, {"token of a platform-admin", admin.WithToken("ci", Scope{Platform: true}), team, ""}}
	case "G":
		return []tryer{{"gateway", Machine("gw-1", Gateway), team, ""}}
	case "M":
		return []tryer{{"metering", Machine("m-1", Metering), team, ""}}
	case "R":
		admin := Someone("root", true, []Membership{{Role: OrgAdmin, Organisation: "acme"}})
		return []tryer{{"person without roles", Someone("eve", false, nil), team, ""}, {"token without roles", admin.WithToken("ci", Scope{}), team, ""}}
	case "N":
		return []tryer{{"nobody", Nobody(), team, ""}}
	case "S":
		return []tryer{{"system", System(), team, ""}}
	}
	inAll := Someone("ada", false, []Membership{{Role: role, Organisation: "acme"}})
	inTeam := Someone("ada", false, []Membership{{Role: role, Organisation: "acme", Team: "shop"}})
	out := []tryer{
		{string(role) + " of acme", inAll, whole, "acme"},
		{"token of " + string(role) + " of acme", inAll.WithToken("ci", Scope{Roles: inAll.Memberships()}), whole, "acme"},
	}
	if role != OrgAdmin {
		out = append(out, tryer{string(role) + " of shop", inTeam, team, "acme"},
			tryer{"token for shop of " + string(role) + " of acme", inAll.WithToken("ci", Scope{Roles: inTeam.Memberships()}), team, "acme"})
	}
	return out
}

// TestEveryRight tries every action as everybody on own, foreign and absent objects,
// and compares with the table in testdata.
func TestEveryRight(t *testing.T) {
	cells := map[string]string{} // by row and column
	named := map[Action]bool{}
	grid(t, "rights.txt", func(row, column, cell string) {
		cells[row+"/"+column] = strings.NewReplacer("all", "osvxpf", "-", "").Replace(cell)
		word, kind, _ := strings.Cut(row, " ")
		if words[word] == "" {
			t.Fatalf("rights.txt: no operation is called %q", word)
		}
		named[Action{words[word], resource.Kind(kind)}] = true
	})
	tried := 0
	for key, cell := range cells {
		row, column, _ := strings.Cut(key, "/")
		word, kindWord, _ := strings.Cut(row, " ")
		op, kind := words[word], resource.Kind(kindWord)
		for _, who := range tryers(column) {
			for i, r := range relations {
				for _, absent := range []bool{false, true} {
					o := Object{Kind: kind, Owner: r.owner, Provider: r.provider, Visibility: Private, Absent: absent}
					if kind != "" {
						o.Name = "thing"
					}
					if kind != "" && kind != resource.KindSubscription && (r.team == 'v' || r.team == 'x') {
						continue // only subscriptions have two sides
					}
					if absent && kind == "" {
						continue
					}
					tried++
					may := strings.IndexByte(cell, who.letter(i)) >= 0
					sees := strings.IndexByte(cells["read "+kindWord+"/"+column], who.letter(i)) >= 0
					if kind == "" {
						sees = r.owner.Organisation == "" || r.owner.Organisation == who.member || column == "P"
					}
					want := fault.Denied
					switch {
					case may && (!absent || op == Write):
						want = ""
					case absent || !sees:
						want = fault.NotFound
					}
					err := Authorise(who.actor, op, o)
					what := fmt.Sprintf("%s: %s, %s, absent %v", who.name, row, r.name, absent)
					if got := fault.KindOf(err); got != want {
						t.Errorf("%s: got %q (%v), want %q", what, got, err, want)
					}
					if want == fault.NotFound && kind != "" {
						o.Absent = !absent
						if other := Authorise(who.actor, op, o); fault.KindOf(other) == fault.NotFound && other.Error() != err.Error() {
							t.Errorf("%s: what is there and what is not are told apart:\n%v\n%v", what, err, other)
						}
						if strings.Contains(err.Error(), "foreign") || strings.Contains(err.Error(), "acme") {
							t.Errorf("%s: the error names an owner: %v", what, err)
						}
					}
					if who.actor.Person() != "" && want == "" {
						readOnly := who.actor.WithToken("look", Scope{Platform: true, Roles: who.actor.Memberships(), ReadOnly: true})
						reads := strings.HasPrefix(word, "read")
						if err := Authorise(readOnly, op, o); (err == nil) != reads {
							t.Errorf("%s with a reading token: got %v", what, err)
						}
					}
				}
			}
		}
	}
	if tried < 4000 {
		t.Errorf("tried %d combinations: the table was not read whole", tried)
	}
	for _, a := range Actions() {
		if !named[a] {
			t.Errorf("rights.txt does not say who may %s %s", a.Operation, a.Kind)
		}
		delete(named, a)
	}
	for a := range named {
		t.Errorf("rights.txt has %q of %q, which the table lacks: a row that nothing decides", a.Operation, a.Kind)
	}
	for _, k := range resource.Kinds {
		for _, op := range []Operation{Read, Write, Delete} {
			if !slices.Contains(Actions(), Action{op, k}) {
				t.Errorf("nobody may %s a document of kind %s", op, k)
			}
		}
	}
}

func TestWhoFindsWhat(t *testing.T) {
	member := func(organisation, team string) []Actor {
		var out []Actor
		for _, r := range Roles {
			if r != OrgAdmin || team == "" {
				out = append(out, Someone("ada", false, []Membership{{Role: r, Organisation: organisation, Team: team}}))
			}
		}
		return out
	}
	who := map[string][]Actor{
		"P": {Someone("root", true, nil)}, "T": member("acme", "shop"), "O": member("acme", "erp"), "W": member("acme", ""),
		"F": append(member("foreign", "shop"), member("foreign", "")...), "R": {Someone("eve", false, nil)}, "N": {Nobody()}, "G": {Machine("gw", Gateway)},
	}
	grid(t, "visible.txt", func(row, column, cell string) {
		for _, kind := range []resource.Kind{resource.KindAPI, resource.KindVersion, resource.KindProduct} {
			objects := []Object{{Kind: kind, Name: "orders", Owner: Owner{"acme", "shop"}, Visibility: Visibility(row)}}
			switch row {
			case "(unset)":
				objects[0].Visibility = ""
			case "draft", "absent":
				objects = nil
				for _, v := range []Visibility{Private, TeamWide, Partner, Public} {
					objects = append(objects, Object{Kind: kind, Name: "orders", Owner: Owner{"acme", "shop"}, Visibility: v, Draft: row == "draft", Absent: row == "absent"})
				}
			}
			for _, o := range objects {
				for _, a := range who[column] {
					if got := Sees(a, o); got != (cell == "yes") {
						t.Errorf("%s with %v, %s %s (%s): sees %v, want %s", a, a.Memberships(), row, kind, o.Visibility, got, cell)
					}
					if got := Authorise(a, Read, o) == nil; got != (cell == "yes") {
						t.Errorf("%s with %v, %s %s (%s): reads %v, want %s", a, a.Memberships(), row, kind, o.Visibility, got, cell)
					}
					// To find a version is not to see what it runs on.
					if kind == resource.KindVersion && strings.Contains("OFRNG", column) && Authorise(a, ReadBacking, o) == nil {
						t.Errorf("%s reads backing topics of a %s version", a, o.Visibility)
					}
				}
			}
		}
	})
}

func TestRefusals(t *testing.T) {
	dev := Someone("ada", false, []Membership{{Role: AppDeveloper, Organisation: "acme", Team: "shop"}})
	api := Object{Kind: resource.KindAPI, Name: "orders", Owner: Owner{"acme", "shop"}}
	for _, c := range []struct {
		actor Actor
		op    Operation
		o     Object
		want  string
	}{
		{dev, Write, api, `write API "orders": only a publisher of team shop of acme or an org-admin of acme may`},
		{dev, Write, Object{Kind: resource.KindAPI, Name: "orders", Owner: Owner{"acme", "erp"}}, `there is no API "orders" that you may see, and making one is for a publisher of its owner or an org-admin of its owner`},
		{dev, Delete, Object{Kind: resource.KindEnvironment, Name: "prod"}, `delete Environment "prod": only a platform-admin may`},
		{dev, Approve, Object{Kind: resource.KindSubscription, Name: "s", Owner: Owner{"acme", "shop"}, Provider: Owner{"corp", "api"}}, `approve Subscription "s": only an approver of team api of corp, a publisher of team api of corp or an org-admin of corp may`},
		{dev, ReadAudit, Object{Owner: Owner{"acme", ""}}, `read the audit log of acme: only a platform-admin, an org-admin of acme or an auditor of acme may`},
		{dev, ReadAudit, Object{Owner: Owner{"corp", "api"}}, `there is no organisation or team "api of corp" that you may see`},
		{dev, AdministerPlatform, Object{}, `administer the platform: only a platform-admin may`},
		{dev, ReadFeed, Object{}, `read the feed of the platform: only a gateway may`},
		{dev, "edit the audit log of", Object{}, `edit the audit log of the platform: nobody may`},
		{dev.WithToken("ci", Scope{Roles: dev.Memberships(), ReadOnly: true}), Write, Object{Kind: resource.KindApplication, Name: "erp", Owner: Owner{"acme", "shop"}}, `write Application "erp": the token is for reading only`},
	} {
		if got := fault.MessageOf(Authorise(c.actor, c.op, c.o)); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestNarrow(t *testing.T) {
	wide, shop, erp := Membership{Publisher, "acme", ""}, Membership{Publisher, "acme", "shop"}, Membership{Publisher, "acme", "erp"}
	for name, c := range map[string]struct{ has, chosen, want []Membership }{
		"nothing chosen":                  {[]Membership{wide}, nil, nil},
		"a team out of the whole":         {[]Membership{wide}, []Membership{shop}, []Membership{shop}},
		"the whole, by one with a team":   {[]Membership{shop}, []Membership{wide}, []Membership{shop}},
		"another team":                    {[]Membership{shop}, []Membership{erp}, nil},
		"another organisation":            {[]Membership{wide}, []Membership{{Publisher, "foreign", ""}}, nil},
		"a role that is gone":             {[]Membership{shop}, []Membership{shop, {Approver, "acme", "shop"}}, []Membership{shop}},
		"the same by two ways":            {[]Membership{wide, shop}, []Membership{shop}, []Membership{shop}},
		"a role lost since it was chosen": {nil, []Membership{wide}, nil},
	} {
		if got := Narrow(c.has, c.chosen); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", name, got, c.want)
		}
	}
}

func TestDirectory(t *testing.T) {
	organisation := func(name string, members, groups map[string][]string) *resource.Organisation {
		o := &resource.Organisation{Kind: resource.KindOrganisation, Metadata: resource.Metadata{Name: name}}
		o.Spec.Members, o.Spec.Groups = members, groups
		return o
	}
	team := func(name, of string, members, groups map[string][]string) *resource.Team {
		d := &resource.Team{Kind: resource.KindTeam, Metadata: resource.Metadata{Name: name}}
		d.Spec = resource.TeamSpec{Organisation: of, Members: members, Groups: groups}
		return d
	}
	d := NewDirectory(
		[]*resource.Organisation{
			organisation("acme", map[string][]string{"ada": {"org-admin", "platform-admin"}, "bob": {"auditor"}}, map[string][]string{"staff": {"app-developer", "platform-admin"}}),
			organisation("corp", nil, map[string][]string{"staff": {"org-admin"}}),
		},
		[]*resource.Team{
			team("shop", "acme", map[string][]string{"bob": {"publisher", "org-admin", "king"}, "Bob": {"approver"}}, map[string][]string{"shop-devs": {"publisher"}}),
			team("stray", "", map[string][]string{"eve": {"publisher"}}, nil),
		})
	for _, c := range []struct {
		name, login string
		groups      Groups
		want        string
	}{
		{"a document gives no platform-admin", "ada", Groups{}, "org-admin@acme/"},
		{"a team gives no org-admin, and no made-up role", "bob", Groups{}, "auditor@acme/ publisher@acme/shop"},
		{"names are exact", "Bob", Groups{}, "approver@acme/shop"},
		{"a team without an organisation gives nothing", "eve", Groups{}, ""},
		{"a group gives no platform-admin", "corp:1", Groups{Names: []string{"staff"}}, "app-developer@acme/ org-admin@corp/"},
		{"a provider's groups count where it says", "corp:1", Groups{Names: []string{"staff"}, Organisations: []string{"acme"}}, "app-developer@acme/"},
		{"a provider that counts nowhere", "corp:1", Groups{Names: []string{"staff"}, Organisations: []string{}}, ""},
		{"groups that nobody named", "corp:1", Groups{Names: []string{"", "admins", "ada"}}, ""},
		{"a group twice", "corp:1", Groups{Names: []string{"shop-devs", "shop-devs"}}, "publisher@acme/shop"},
		{"a login name is not a group", "shop-devs", Groups{}, ""},
		{"nobody", "", Groups{Names: []string{"staff"}}, ""},
	} {
		var got []string
		for _, m := range d.Of(c.login, c.groups) {
			got = append(got, fmt.Sprintf("%s@%s/%s", m.Role, m.Organisation, m.Team))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: got %q, want %q", c.name, s, c.want)
		}
	}
	if got := (*Directory)(nil).Of("ada", Groups{}); len(got) != 0 {
		t.Errorf("no directory at all: got %v", got)
	}
}
