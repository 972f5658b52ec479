package httpapi

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http"
	"strconv"
	"strings"

	"sluice/internal/httpapi/schema"
)

// refusedStyle is all that makes the page of a refused login look; its hash allows it.
const refusedStyle = `body{font:1rem/1.5 system-ui,sans-serif;max-width:36rem;margin:4rem auto;padding:0 1rem;color:#1c2430;background:#fff}` +
	`code{overflow-wrap:anywhere}@media(prefers-color-scheme:dark){body{color:#e6e9ee;background:#14181f}a{color:#8ab4f8}}`

// refused tells somebody in a browser what came of their login. It needs nothing but
// itself: no script, and nothing of another address.
var refused = template.Must(template.New("refused").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>You are not logged in</title><style>` + refusedStyle + `</style></head>
<body><main>
<h1>You are not logged in</h1>
<p>{{.Detail}}</p>
<p>{{.Do}} From a terminal, type <code>sluice login</code> again.</p>
<p>If it stays so, tell whoever runs this the number of the request: <code>{{.ID}}</code></p>
</main></body>
</html>
`))

// refuseLogin answers what came of a login in a browser: a page for people, a problem
// for programs.
func refuseLogin(w http.ResponseWriter, r *http.Request, p *schema.Problem) {
	w.Header().Add("Vary", "Accept")
	if !wantsPage(r.Header.Values("Accept")) {
		refuse(w, p)
		return
	}
	do := "Begin again, in one window of this browser, and within ten minutes."
	switch {
	case p.Status == http.StatusNotFound:
		do = "Look whether the address is right."
	case p.Status == http.StatusTooManyRequests:
		do = "Wait a minute, and begin again."
	case p.Status >= http.StatusInternalServerError:
		do = "Begin again in a while."
	}
	sum := sha256.Sum256([]byte(refusedStyle))
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(p.Status)
	_ = refused.Execute(w, map[string]string{"Detail": p.Detail, "Do": do, "ID": strings.TrimPrefix(p.Instance, instance(""))}) // an error is the client's, who has gone
}

// wantsPage says whether a client names text/html among what it accepts, and does not
// weigh it with zero (RFC 9110 §12.5.1). */* is what programs send.
func wantsPage(accept []string) bool {
	for _, line := range accept {
		for one := range strings.SplitSeq(line, ",") {
			media, parameters, _ := strings.Cut(one, ";")
			if !strings.EqualFold(strings.TrimSpace(media), "text/html") {
				continue
			}
			name, value, _ := strings.Cut(strings.TrimSpace(parameters), "=")
			q, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if !strings.EqualFold(strings.TrimSpace(name), "q") || err != nil || q > 0 {
				return true
			}
		}
	}
	return false
}
