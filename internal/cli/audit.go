package cli

import (
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"sluice/internal/control/audit"
)

func newAudit(s Streams) *cobra.Command {
	cmd := &cobra.Command{
		Use: "audit", Short: "What was written down of who changed what",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usagef("there is no command \"audit %s\"", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newAuditVerify(s))
	return cmd
}

func newAuditVerify(s Streams) *cobra.Command {
	var keys, heads []string
	var from int64
	cmd := &cobra.Command{
		Use:   "verify FILE --key FILE",
		Short: "Find out, offline, whether an exported audit log is whole",
		Long: `Reads an exported audit log and names each row that was altered, removed, inserted or put elsewhere, and each head
that is not signed by one of the keys. The exit code is 1 when there is any.

Someone who has the log and can write it may cut off its end together with the heads there, back to an older head: only a
newer head that was kept elsewhere shows it. Give files of such heads with --heads.`,
		Example: `  sluice audit verify audit.jsonl --key audit.key.pub
  sluice audit verify audit.jsonl --key audit.key.pub --heads kept/heads.jsonl
  sluice audit verify since-2026.jsonl --from 120001 --key audit.key.pub`,
		Args: exactly(1, "the exported file"),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(keys) == 0 {
				return usagef("--key is missing: without a public key, whoever wrote the file may have signed it")
			}
			if from < 1 {
				return usagef("--from %d: rows are numbered from 1 on", from)
			}
			o := audit.VerifyOptions{From: from}
			for _, path := range keys {
				read, err := audit.ReadPublicKeys(path)
				if err != nil {
					return err
				}
				o.Keys = append(o.Keys, read...)
			}
			for _, path := range heads {
				read, err := readHeads(path)
				if err != nil {
					return err
				}
				o.Heads = append(o.Heads, read...)
			}
			return verifyAudit(s, args[0], o)
		},
	}
	cmd.Flags().StringArrayVar(&keys, "key", nil, "`FILE` with the public key of heads, in PEM; can be repeated")
	cmd.Flags().StringArrayVar(&heads, "heads", nil, "`FILE` with heads that were kept elsewhere; can be repeated")
	cmd.Flags().Int64Var(&from, "from", 1, "`NUMBER` of the first row that the file is expected to have")
	return cmd
}

func readHeads(path string) ([]audit.Head, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	heads, err := audit.ReadHeads(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return heads, nil
}

func verifyAudit(s Streams, path string, o audit.VerifyOptions) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	r, err := audit.Verify(f, o)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for _, found := range r.Findings {
		at := "at the end"
		if found.Line > 0 {
			at = fmt.Sprintf("line %d", found.Line)
		}
		if _, err := fmt.Fprintf(s.Out, "%s, %s: %s\n", path, at, found.Message); err != nil {
			return err
		}
	}
	if n := len(r.Findings); n > 0 {
		more := ""
		if n == audit.MaxFindings {
			more = " or more"
		}
		fmt.Fprintf(s.Err, "sluice: %s is not whole: %d%s\n", path, n, more)
		return errTold
	}
	if r.Rows == 0 {
		_, err = fmt.Fprintf(s.Out, "%s has no rows\n", path)
		return err
	}
	_, err = fmt.Fprintf(s.Out, "%s is whole: rows %d to %d of log %s, covered by %s, the last signed at %s\n",
		path, r.First, r.Last, r.Log, counted(r.Heads, "head"), r.SignedAt.Format(time.RFC3339))
	return err
}
