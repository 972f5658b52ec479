// Command schemagen writes the table of Kafka messages that package wire
// checks frames against, from the message definitions inside the
// kafka-clients jar. The jar is fetched from Maven Central when -jar is not
// given, and is not kept in the repository.
package main

import (
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"sluice/internal/kafka/definition"
)

func main() {
	log.SetFlags(0)
	log.SetPrefix("schemagen: ")
	version := flag.String("version", "4.3.1", "kafka-clients `version`")
	jar := flag.String("jar", "", "`path` of the kafka-clients jar (default: the local Maven repository, fetched if absent)")
	out := flag.String("out", "schema_gen.go", "`file` to write")
	flag.Parse()
	if err := run(*version, *jar, *out); err != nil {
		log.Fatal(err)
	}
}

func run(version, jar, out string) error {
	if jar == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return err
		}
		jar = filepath.Join(home, ".m2/repository/org/apache/kafka/kafka-clients", version, "kafka-clients-"+version+".jar")
		if _, err := os.Stat(jar); err != nil {
			mvn := exec.Command("mvn", "-q", "dependency:get", "-Dtransitive=false", "-Dartifact=org.apache.kafka:kafka-clients:"+version)
			mvn.Stdout, mvn.Stderr = os.Stderr, os.Stderr
			if err := mvn.Run(); err != nil {
				return fmt.Errorf("fetch kafka-clients %s: %w", version, err)
			}
		}
	}
	apis, err := definition.ReadJar(jar)
	if err != nil {
		return fmt.Errorf("read %q: %w", jar, err)
	}
	src, err := definition.Render(version, apis)
	if err != nil {
		return err
	}
	return os.WriteFile(out, src, 0o644)
}
