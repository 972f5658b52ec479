// Package programs runs other people's programs through the gateway on a real Apache Kafka: a Kafka Streams application
// that processes exactly once, Kafka Connect with its file connectors, and MirrorMaker 2. Its main type is Program, one
// running JVM. Its jars come from Maven Central, in the release of the Kafka under test.
package programs

import (
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"sluice/internal/kafkatest"
)

//go:embed pom.xml
var pom string

//go:embed java/Totals.java
var totals string

// Jars are what programs run from.
type Jars struct {
	// Classpath has Kafka's jars of kafkatest, Streams, MirrorMaker and our own classes, as "java -cp" takes it.
	Classpath string
	// Plugins is a folder with the file connectors, for Connect's plugin.path.
	Plugins string
}

// Collect makes sure that a folder of the cache ($SLUICE_CACHE, or sluice/ in the user's cache folder) holds the jars of
// a release and our compiled classes. Only the first call for a release needs Maven and javac; processes that call at
// the same time wait for each other.
func Collect(ctx context.Context, release string) (Jars, error) {
	libs, err := kafkatest.Jars(ctx, release)
	if err != nil {
		return Jars{}, err
	}
	sum := sha256.Sum256([]byte(pom + totals))
	dir := filepath.Join(filepath.Dir(libs), "programs-"+hex.EncodeToString(sum[:4]))
	jars := Jars{
		Classpath: strings.Join([]string{filepath.Join(libs, "*"), filepath.Join(dir, "libs", "*"), filepath.Join(dir, "classes")}, string(os.PathListSeparator)),
		Plugins:   filepath.Join(dir, "plugins"),
	}
	lock, err := os.Create(dir + ".lock")
	if err != nil {
		return Jars{}, err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return Jars{}, fmt.Errorf("lock %s: %w", lock.Name(), err)
	}
	mark := filepath.Join(dir, ".complete")
	if _, err := os.Stat(mark); err == nil {
		return jars, nil
	}
	if err := collect(ctx, dir, libs, release); err != nil {
		return Jars{}, fmt.Errorf("collect Streams, Connect and MirrorMaker %s: %w", release, err)
	}
	return jars, os.WriteFile(mark, nil, 0o644)
}

func collect(ctx context.Context, dir, libs, release string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	if err := os.RemoveAll(dir); err != nil {
		return err
	}
	for _, folder := range []string{"libs", "plugins", "classes"} {
		if err := os.MkdirAll(filepath.Join(dir, folder), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "pom.xml"), []byte(pom), 0o644); err != nil {
		return err
	}
	all := filepath.Join(dir, "all")
	if err := command(ctx, dir, "mvn", "-B", "-q", "-Dstyle.color=never", "-f", "pom.xml", "-Dkafka.version="+release,
		"dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+all); err != nil {
		return fmt.Errorf("%w (Maven is needed once)", err)
	}
	found, err := os.ReadDir(all)
	if err != nil {
		return err
	}
	for _, jar := range found {
		folder := "libs"
		switch _, err := os.Stat(filepath.Join(libs, jar.Name())); {
		case err == nil, strings.HasPrefix(jar.Name(), "slf4j-"): // kafkatest has it, or has chosen the logger
			continue
		case !errors.Is(err, os.ErrNotExist):
			return err
		case strings.HasPrefix(jar.Name(), "connect-file-"):
			folder = "plugins"
		}
		if err := os.Rename(filepath.Join(all, jar.Name()), filepath.Join(dir, folder, jar.Name())); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(all); err != nil {
		return err
	}
	source := filepath.Join(dir, "Totals.java")
	if err := os.WriteFile(source, []byte(totals), 0o644); err != nil {
		return err
	}
	if err := command(ctx, dir, "javac", "-d", "classes", "-proc:none", "-cp", filepath.Join(libs, "*")+string(os.PathListSeparator)+filepath.Join("libs", "*"), source); err != nil {
		return fmt.Errorf("%w (a JDK, 17 or newer, is needed once: Debian's openjdk-17-jdk-headless)", err)
	}
	return nil
}

func command(ctx context.Context, dir, name string, args ...string) error {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", name, strings.Join(args, " "), err, out)
	}
	return nil
}
