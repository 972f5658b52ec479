package config

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sluice/web"
)

// maxLogo is how large a logo may be, in bytes.
const maxLogo = 256 << 10

// logoKinds are the media types of logos, by the ends of their files' names.
var logoKinds = map[string]string{".svg": "image/svg+xml", ".png": "image/png", ".webp": "image/webp"}

// ReadLogo returns the logo and its media type; nil where there is none.
func (p Portal) ReadLogo() (picture []byte, kind string, err error) {
	if p.Logo == "" {
		return nil, "", nil
	}
	info, err := os.Stat(p.Logo)
	if err != nil {
		return nil, "", fmt.Errorf("read the logo: %w", err)
	}
	if info.Size() > maxLogo {
		return nil, "", fmt.Errorf("the logo %s has %d bytes, more than %d", p.Logo, info.Size(), maxLogo)
	}
	if picture, err = os.ReadFile(p.Logo); err != nil {
		return nil, "", fmt.Errorf("read the logo: %w", err)
	}
	return picture, logoKinds[strings.ToLower(filepath.Ext(p.Logo))], nil
}

func (c *Config) validatePortal(v *validator) {
	p := c.Portal
	v.oneOf("portal.signUp", p.SignUp, []string{"off", "open"})
	if p.SignUp == "open" && c.Management.Login.Passwords != "everybody" {
		v.report("portal.signUp", "is open, and management.login.passwords lets not everybody log in", "write off, or passwords: everybody")
	}
	if p.Name == "" || len(p.Name) > 64 {
		v.report("portal.name", "has to have 1 to 64 characters", "write what people call it")
	}
	if p.Logo != "" && logoKinds[strings.ToLower(filepath.Ext(p.Logo))] == "" {
		v.report("portal.logo", fmt.Sprintf("%q is no picture that browsers show here", filepath.Base(p.Logo)), "name an SVG, PNG or WebP file")
	}
	light, dark, err := web.Themes()
	if err != nil {
		v.report("portal", err.Error(), "this is a bug: please tell us")
		return
	}
	for _, theme := range []struct {
		path    string
		colours PortalColours
		tokens  web.Colours
	}{{"portal.light", p.Light, light}, {"portal.dark", p.Dark, dark}} {
		own := theme.colours.Tokens()
		whole := maps.Clone(theme.tokens)
		maps.Copy(whole, own)
		wrong := false
		for _, token := range slices.Sorted(maps.Keys(own)) {
			if !web.IsColour(own[token]) {
				v.report(theme.path+"."+fieldOf(token), fmt.Sprintf("%q is not a colour", own[token]), "write it as #0a6680")
				wrong = true
			}
		}
		if wrong {
			continue
		}
		for _, m := range web.Misses(whole) {
			token := m.Front
			if own[token] == "" {
				token = m.Back
			}
			v.report(theme.path+"."+fieldOf(token), fmt.Sprintf("%s %s on %s %s has a contrast of %.2f, and needs %.1f", fieldOf(m.Front), whole[m.Front], fieldOf(m.Back), whole[m.Back], m.Ratio, m.Needs), "make the one lighter or the other darker")
		}
	}
}

// fieldOf is the field of a token, as accentHover.
func fieldOf(token string) string {
	parts := strings.Split(token, "-")
	for i, p := range parts[1:] {
		parts[i+1] = strings.ToUpper(p[:1]) + p[1:]
	}
	return strings.Join(parts, "")
}
