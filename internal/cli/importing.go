package cli

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"sluice/internal/config"
	"sluice/internal/httpapi/schema"
	"sluice/internal/resource"
)

func newImport(s Streams) *cobra.Command {
	var server serverFlags
	var body schema.Import
	var registry schema.SchemaRegistry
	var password, into string
	var apply bool
	cmd := &cobra.Command{
		Use: "import cluster NAME", Short: "Make drafts of the topics of a cluster and its schema registry",
		Long: `Make drafts of the topics of a cluster and its schema registry.

There is an API for each topic, with a version whose contract is an AsyncAPI document
with the topic's settings and its newest schemas. A topic called orders.v2 becomes
version 2 of the API orders. Topics that a version offers already are left out, unless
the registry has other schemas than its contract: then the version is drafted with
those, as its next revision. Internal topics and those of applications are left out;
what is left out, named otherwise or could not be read is told.

The drafts are printed for review, written to a directory, or applied. The control
plane reads the cluster with the secrets of its document, and the registry through
its outbound client: settings of outbound say what that may reach. A platform-admin
imports all topics, a publisher those that the cluster gives to their team.`,
		Example: `  sluice import cluster main --schema-registry https://schemas.example.com --topics 'shop.*' >drafts.yaml
  sluice import cluster main --team shop --into drafts
  sluice import cluster main --apply`,
		Args: exactly(2, "the word cluster, and a name"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := server.client(formatYAML, formatJSON)
			if err != nil {
				return err
			}
			if err := onlyKind(args[0], resource.KindCluster, "only a cluster is imported"); err != nil {
				return err
			}
			if apply && into != "" {
				return usagef("--apply and --into do not go together")
			}
			switch {
			case registry.URL != "":
				if password != "" {
					if registry.Password, err = config.ReadSecret(config.SecretRef{File: password}); err != nil {
						return err
					}
				}
				body.SchemaRegistry = &registry
			case registry.Username != "" || password != "":
				return usagef("--registry-user and --registry-password-file go with --schema-registry")
			}
			found, err := c.Import(cmd.Context(), args[1], body)
			if err != nil {
				return err
			}
			for _, n := range found.Notes {
				fmt.Fprintf(s.Err, "%s: %s\n", readableText(n.About), readableText(n.Message))
			}
			if len(found.Documents) == 0 {
				fmt.Fprintf(s.Err, "nothing new: %d topics are offered already\n", found.Known)
			}
			switch {
			case apply && len(found.Documents) > 0:
				wanted := schema.Apply{Tags: map[string]string{}}
				for _, d := range found.Documents {
					m, err := metadataOf(d)
					if err != nil {
						return err
					}
					text, err := json.Marshal(d)
					if err != nil {
						return err
					}
					wanted.Documents = append(wanted.Documents, text)
					key := d.Kind + "/" + m.Name
					wanted.Tags[key] = found.Tags[key] // what is new must not have come meanwhile
				}
				report, err := c.Apply(cmd.Context(), wanted, false)
				if err != nil {
					return err
				}
				return tellReport(s, report, server.output, false)
			case apply && server.output != formatJSON:
				return nil
			case into != "":
				return writeDrafts(s, into, found.Documents)
			case server.output == formatJSON:
				return writeJSON(s.Out, found)
			}
			return writeDocuments(s, found.Documents)
		},
	}
	server.add(cmd, formatYAML, formatJSON)
	flags := cmd.Flags()
	flags.StringVar(&registry.URL, "schema-registry", "", "URL of the cluster's schema registry")
	flags.StringVar(&registry.Username, "registry-user", "", "user of the schema registry")
	flags.StringVar(&password, "registry-password-file", "", "file with that user's password")
	flags.StringArrayVar(&body.Topics, "topics", nil, "topics to import, as 'shop.*'; may be repeated (default all)")
	flags.StringVar(&body.Team, "team", "", "team that is to own the drafts (default those that the cluster gives the topics to)")
	flags.BoolVar(&apply, "apply", false, "apply the drafts")
	flags.StringVar(&into, "into", "", "directory to write the drafts to, a file for each API")
	return cmd
}

// writeDrafts writes a file for each API with its versions. A file that is there stays.
func writeDrafts(s Streams, dir string, all []schema.Document) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	files, order := map[string][]schema.Document{}, []string{}
	for _, d := range all {
		m, err := metadataOf(d)
		if err != nil {
			return err
		}
		name := m.Name
		if d.Kind == string(resource.KindVersion) {
			name = name[:strings.LastIndex(name, ".v")]
		}
		if files[name] == nil {
			order = append(order, name)
		}
		files[name] = append(files[name], d)
	}
	for _, name := range order {
		file := filepath.Join(dir, name+".yaml")
		f, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
		if err != nil {
			return fmt.Errorf("write drafts: %w", err)
		}
		err = writeDocuments(Streams{Out: f}, files[name])
		if closeErr := f.Close(); err == nil {
			err = closeErr
		}
		if err != nil {
			return fmt.Errorf("write drafts to %s: %w", file, err)
		}
		fmt.Fprintln(s.Out, file)
	}
	return nil
}
