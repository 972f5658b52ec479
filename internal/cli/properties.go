package cli

import (
	"fmt"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
)

const maxPropertiesBytes = 1 << 20

// readProperties reads a file in the format of java.util.Properties.
func readProperties(name string) (map[string]string, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, fmt.Errorf("read properties: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxPropertiesBytes+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("read properties: %w", err)
	case len(data) > maxPropertiesBytes:
		return nil, fmt.Errorf("%s has more than %d bytes", name, maxPropertiesBytes)
	}
	return parseProperties(string(data)), nil
}

// parseProperties follows java.util.Properties.load: comments, continued lines,
// "=", ":" or white space after the key, and escapes.
func parseProperties(text string) map[string]string {
	out := map[string]string{}
	lines := strings.Split(strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(text), "\n")
	for i := 0; i < len(lines); i++ {
		line := strings.TrimLeft(lines[i], " \t\f")
		if line == "" || line[0] == '#' || line[0] == '!' {
			continue
		}
		for continued(line) && i+1 < len(lines) {
			i++
			line = line[:len(line)-1] + strings.TrimLeft(lines[i], " \t\f")
		}
		if continued(line) {
			line = line[:len(line)-1]
		}
		end := len(line)
		for j := 0; j < len(line); j++ {
			if line[j] == '\\' {
				j++
			} else if strings.IndexByte("=: \t\f", line[j]) >= 0 {
				end = j
				break
			}
		}
		rest := strings.TrimLeft(line[end:], " \t\f")
		if rest != "" && (rest[0] == '=' || rest[0] == ':') {
			rest = strings.TrimLeft(rest[1:], " \t\f")
		}
		out[unescape(line[:end])] = unescape(rest)
	}
	return out
}

// continued reports whether a line ends in an odd number of backslashes.
func continued(line string) bool {
	n := len(line) - len(strings.TrimRight(line, `\`))
	return n%2 == 1
}

func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) {
			b.WriteByte(s[i])
			continue
		}
		i++
		switch s[i] {
		case 't':
			b.WriteByte('\t')
		case 'n':
			b.WriteByte('\n')
		case 'r':
			b.WriteByte('\r')
		case 'f':
			b.WriteByte('\f')
		case 'u':
			if n, err := strconv.ParseUint(s[min(i+1, len(s)):min(i+5, len(s))], 16, 16); err == nil {
				b.WriteRune(rune(n))
				i += 4
			}
		default:
			b.WriteByte(s[i])
		}
	}
	return b.String()
}

// jaasOption finds options of a login module in sasl.jaas.config, quoted or not.
var jaasOption = regexp.MustCompile(`([A-Za-z_.]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)'|([^\s;"']+))`)

func jaasOptions(text string) map[string]string {
	out := map[string]string{}
	for _, m := range jaasOption.FindAllStringSubmatch(text, -1) {
		out[m[1]] = strings.NewReplacer(`\"`, `"`, `\'`, `'`, `\\`, `\`).Replace(m[2] + m[3] + m[4])
	}
	return out
}

// fill takes what was not given as a flag from a client.properties file; the
// names of librdkafka are understood too.
func (c *connection) fill(p map[string]string) error {
	set := func(to *string, values ...string) {
		for _, v := range values {
			if *to == "" {
				*to = v
			}
		}
	}
	jaas := jaasOptions(p["sasl.jaas.config"])
	set(&c.bootstrap, p["bootstrap.servers"], p["metadata.broker.list"])
	switch protocol := strings.ToUpper(p["security.protocol"]); protocol {
	case "", "SASL_PLAINTEXT", "PLAINTEXT":
	case "SASL_SSL", "SSL":
		c.tls = true
	default:
		return fmt.Errorf("security.protocol %q is not one of SASL_SSL, SASL_PLAINTEXT, SSL, PLAINTEXT", protocol)
	}
	set(&c.mechanism, p["sasl.mechanism"], p["sasl.mechanisms"])
	set(&c.username, p["sasl.username"], jaas["username"])
	if c.passwordFile == "" {
		set(&c.password, p["sasl.password"], jaas["password"])
	}
	if t := p["ssl.truststore.type"]; p["ssl.truststore.location"] != "" && c.ca == "" {
		if !strings.EqualFold(t, "PEM") {
			return fmt.Errorf("ssl.truststore.type %q cannot be read here: give the authorities in PEM with --ca", t)
		}
		c.ca = p["ssl.truststore.location"]
	}
	set(&c.ca, p["ssl.ca.location"])
	set(&c.certificate, p["ssl.certificate.location"])
	set(&c.key, p["ssl.key.location"])
	return nil
}
