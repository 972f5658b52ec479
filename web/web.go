// Package web holds the web application, portal and console, as Vite built it into
// dist, and the table of its addresses. Its main function is Files. It serves nothing:
// that is internal/httpapi/pages.
package web

import (
	"embed"
	"encoding/json"
	"fmt"
	"io/fs"
)

// dist is not kept in the repository: `make web` makes it. The page that says so always
// is, so that there is something to embed.
//
//go:embed all:dist* src/words/addresses.json src/ui/tokens.css
var files embed.FS

// Files returns what was built, with index.html at its root, and true; without a build,
// a page at dist-missing.html that says how to make one, and false.
func Files() (fs.FS, bool) {
	if dist, err := fs.Sub(files, "dist"); err == nil {
		if _, err := fs.Stat(dist, "index.html"); err == nil {
			return dist, true
		}
	}
	return files, false
}

// Address is one address of the application, or many that have a pattern in common.
type Address struct {
	// Path is the pattern, as /apps/{name}/{environment}.
	Path string `json:"path"`
	// Title is what the page is called, with places of the pattern, as "{name}". {title}
	// is the object's own title.
	Title string `json:"title"`
	// Description is one sentence for search engines and previews; "" is the portal's.
	Description string `json:"description,omitempty"`
	// Object is the kind of document that {name} names: the page is there for those who
	// may see it. "" is a page that everybody may open.
	Object string `json:"object,omitempty"`
	// Console says that the page is one of the console, for providers and operators.
	Console bool `json:"console,omitempty"`
}

// Addresses returns the table of addresses, src/words/addresses.json, which the
// application reads too.
func Addresses() ([]Address, error) {
	text, err := files.ReadFile("src/words/addresses.json")
	if err != nil {
		return nil, fmt.Errorf("read the addresses of the web application: %w", err)
	}
	var all []Address
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, fmt.Errorf("read the addresses of the web application: %w", err)
	}
	return all, nil
}
