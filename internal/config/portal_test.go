package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestPortal(t *testing.T) {
	for _, tc := range []struct {
		name, yaml string
		path       string // of the first problem; empty: none
		message    string
	}{
		{"as it is", "portal: {}", "", ""},
		{"a brand of its own", "portal: {name: Acme streams, signUp: open, light: {accent: '#7a1f5c', accentHover: '#5c1645', accentText: '#7a1f5c', focus: '#7a1f5c'}}", "", ""},
		{"links that are too pale", "portal: {light: {accentText: '#8ac0cf'}}", "portal.light.accentText", "has a contrast of"},
		{"words that cannot be read on the button", "portal: {dark: {onAccent: '#ffffff'}}", "portal.dark.onAccent", "onAccent #ffffff on accent #55c4df"},
		{"a tint that swallows text", "portal: {light: {accentSoft: '#0a6680'}}", "portal.light.accentSoft", "text #0f191e on accentSoft #0a6680"},
		{"a colour's name", "portal: {light: {accent: teal}}", "portal.light.accent", "is not a colour"},
		{"a colour that would leave its rule", "portal: {light: {accent: '#0a6680;}body{'}}", "portal.light.accent", "is not a colour"},
		{"sign-up by another word", "portal: {signUp: everybody}", "portal.signUp", ""},
		{"sign-up where nobody could log in", "portal: {signUp: open}\nmanagement: {login: {passwords: platform-admins}}", "portal.signUp", "lets not everybody log in"},
		{"no name", "portal: {name: ''}", "portal.name", "1 to 64 characters"},
		{"a logo that is a script", "portal: {logo: logo.js}", "portal.logo", "no picture"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, problems := Parse("sluice.yaml", []byte(tc.yaml))
			var of []Problem
			for _, p := range problems {
				if strings.HasPrefix(p.Path, "portal") {
					of = append(of, p)
				}
			}
			switch {
			case tc.path == "" && len(of) > 0:
				t.Errorf("got %v, want nothing", of)
			case tc.path != "" && (len(of) == 0 || of[0].Path != tc.path || !strings.Contains(of[0].Message, tc.message)):
				t.Errorf("got %v, want %s: %s", of, tc.path, tc.message)
			}
		})
	}
}

func TestLogo(t *testing.T) {
	dir := t.TempDir()
	for name, size := range map[string]int{"small.SVG": 100, "large.png": maxLogo + 1} {
		if err := os.WriteFile(filepath.Join(dir, name), make([]byte, size), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if picture, kind, err := (Portal{Logo: filepath.Join(dir, "small.SVG")}).ReadLogo(); err != nil || kind != "image/svg+xml" || len(picture) != 100 {
		t.Errorf("got %d bytes, %q, %v", len(picture), kind, err)
	}
	for _, name := range []string{"large.png", "absent.png"} {
		if _, _, err := (Portal{Logo: filepath.Join(dir, name)}).ReadLogo(); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if picture, _, err := (Portal{}).ReadLogo(); picture != nil || err != nil {
		t.Errorf("none: got %v, %v", picture, err)
	}
}
