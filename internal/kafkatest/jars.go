package kafkatest

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"
)

//go:embed pom.xml
var pom []byte

// DefaultVersion is started when Options.Version is empty.
const DefaultVersion = "4.1.2"

// Versions returns the releases of Apache Kafka that can be started: those Sluice is tested against.
func Versions() []string { return []string{"3.9.2", "4.1.2", "4.3.1"} }

// collectTimeout bounds Maven's first download.
const collectTimeout = 10 * time.Minute

func checkVersion(v string) error {
	if slices.Contains(Versions(), v) {
		return nil
	}
	return fmt.Errorf("version %q of Apache Kafka is not one of %s", v, strings.Join(Versions(), ", "))
}

// javaBin finds the Java of $JAVA_HOME or the path.
func javaBin() (string, error) {
	if home := os.Getenv("JAVA_HOME"); home != "" {
		if bin := filepath.Join(home, "bin", "java"); isFile(bin) {
			return bin, nil
		}
	}
	bin, err := exec.LookPath("java")
	if err != nil {
		return "", errors.New("no java found: install a Java runtime, 17 or newer (openjdk-17-jre-headless, say), or set JAVA_HOME")
	}
	return bin, nil
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

// versionDir is where everything of one release is kept: libs/ with the jars, and what is made from them once.
func versionDir(version string) (string, error) {
	root := os.Getenv("SLUICE_CACHE")
	if root == "" {
		dir, err := os.UserCacheDir()
		if err != nil {
			return "", fmt.Errorf("find a cache folder (set SLUICE_CACHE): %w", err)
		}
		root = filepath.Join(dir, "sluice")
	}
	root, err := filepath.Abs(root)
	if err != nil {
		return "", err
	}
	return filepath.Join(root, "kafka", version), nil
}

// Jars makes sure that the jars of a release are in the cache folder, $SLUICE_CACHE or the user's cache folder
// with sluice/, and returns the folder that holds them. Only the first call for a release needs Maven; processes
// that call at the same time wait for each other.
func Jars(ctx context.Context, version string) (string, error) {
	if err := checkVersion(version); err != nil {
		return "", err
	}
	dir, err := versionDir(version)
	if err != nil {
		return "", err
	}
	libs := filepath.Join(dir, "libs")
	sum := sha256.Sum256(pom)
	mark := filepath.Join(libs, ".pom-"+hex.EncodeToString(sum[:4]))
	if isFile(mark) {
		return libs, nil
	}
	unlock, err := lockDir(dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	if isFile(mark) {
		return libs, nil
	}
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return "", fmt.Errorf("no mvn found, and the jars of Apache Kafka %s are not in %s yet: install Maven (needed once)", version, libs)
	}
	tmp, err := os.MkdirTemp(dir, "collect-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp)
	if err := os.WriteFile(filepath.Join(tmp, "pom.xml"), pom, 0o644); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, collectTimeout)
	defer cancel()
	fresh := filepath.Join(tmp, "libs")
	cmd := exec.CommandContext(ctx, mvn, "-B", "-q", "-Dstyle.color=never", "-f", filepath.Join(tmp, "pom.xml"),
		"-Dkafka.version="+version, "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+fresh)
	cmd.Dir = tmp
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("collect the jars of Apache Kafka %s with Maven: %w\n%s", version, err, tail(string(out), 15))
	}
	if err := os.WriteFile(filepath.Join(fresh, filepath.Base(mark)), nil, 0o644); err != nil {
		return "", err
	}
	if err := os.RemoveAll(libs); err != nil {
		return "", err
	}
	return libs, os.Rename(fresh, libs)
}

// bootstrapCheckpoint returns a bootstrap.checkpoint as "kafka-storage format" writes it: the release's feature
// levels, nothing of a cluster or a node. Formatting costs the start of a JVM, so it is done once per release, and
// a cluster's brokers get copies of the result.
func bootstrapCheckpoint(ctx context.Context, java, libs string) ([]byte, error) {
	path := filepath.Join(libs, ".bootstrap.checkpoint")
	if b, err := os.ReadFile(path); err == nil {
		return b, nil
	}
	unlock, err := lockDir(filepath.Dir(libs))
	if err != nil {
		return nil, err
	}
	defer unlock()
	if b, err := os.ReadFile(path); err == nil {
		return b, nil
	}
	tmp, err := os.MkdirTemp(filepath.Dir(libs), "format-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	props, data := filepath.Join(tmp, "server.properties"), filepath.Join(tmp, "data")
	err = os.WriteFile(props, []byte("process.roles=broker,controller\nnode.id=1\ncontroller.quorum.voters=1@127.0.0.1:1\n"+
		"controller.listener.names=CONTROLLER\nlisteners=PLAINTEXT://127.0.0.1:2,CONTROLLER://127.0.0.1:1\nlog.dirs="+data+"\n"), 0o644)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, java, "-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-cp", filepath.Join(libs, "*"),
		"-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "kafka.tools.StorageTool", "format", "--cluster-id", newUUID(), "--config", props)
	cmd.Env = toolEnv()
	cmd.WaitDelay = 5 * time.Second
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("format storage: %w\n%s", explainJava(err, string(out)), tail(string(out), 15))
	}
	b, err := os.ReadFile(filepath.Join(data, "bootstrap.checkpoint"))
	if err != nil {
		return nil, fmt.Errorf("format storage: %w", err)
	}
	fresh := filepath.Join(tmp, "checkpoint")
	if err := os.WriteFile(fresh, b, 0o644); err != nil {
		return nil, err
	}
	return b, os.Rename(fresh, path)
}

// explainJava adds what to do when the output shows a Java that is too old.
func explainJava(err error, output string) error {
	if strings.Contains(output, "UnsupportedClassVersionError") {
		return fmt.Errorf("%w (this Java is too old: install 17 or newer, or set JAVA_HOME)", err)
	}
	return err
}

const lockFile = ".lock"

// lockDir makes dir and takes its lock, which other processes respect and which ends with the process.
func lockDir(dir string) (unlock func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	for {
		err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

var colours = regexp.MustCompile("\x1b\\[[0-9;]*m")

// tail returns the last n lines that are not empty, without colours.
func tail(s string, n int) string {
	lines := bytes.Split(bytes.TrimSpace(colours.ReplaceAll([]byte(s), nil)), []byte("\n"))
	lines = slices.DeleteFunc(lines, func(l []byte) bool { return len(bytes.TrimSpace(l)) == 0 })
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}
