package resource

import (
	"bytes"
	"errors"
	"path/filepath"
	"regexp"
	"strings"

	"sluice/internal/control/contract"
	"sluice/internal/control/contract/rule"
	"sluice/internal/strictyaml"
)

var (
	asyncAPILine  = regexp.MustCompile(`(?m)^["']?asyncapi["']?[ \t]*:`)
	asyncAPIField = regexp.MustCompile(`["']?asyncapi["']?\s*:`)
)

// looksAsyncAPI reports whether a file says of itself that it is an AsyncAPI document.
func looksAsyncAPI(data []byte) bool {
	if trimmed := bytes.TrimLeft(data, "\ufeff \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		return asyncAPIField.Match(trimmed[:min(len(trimmed), 4096)])
	}
	return asyncAPILine.Match(data)
}

// asyncAPI reads the contract of a version from an AsyncAPI document: what the
// provider sends and receives on each channel. Its problems have their places in the
// document; hints are for sluice lint.
func (r *reader) asyncAPI(v *Version, file string, data []byte) bool {
	d := contract.Load(filepath.ToSlash(file), data, contract.Options{Resolve: func(location string) ([]byte, error) {
		if strings.Contains(location, "://") {
			return nil, contract.ErrRefused
		}
		return r.part(filepath.FromSlash(location))
	}})
	for _, p := range d.Problems {
		if p.Severity >= rule.Warning {
			r.add(Problem{File: filepath.FromSlash(p.File), Line: p.Line, Column: p.Column, Message: p.Message + " [" + p.Rule + "]", Fix: p.Fix, Warning: p.Severity != rule.Error})
		}
	}
	if d.Bad() {
		return false
	}
	source := &Source{File: file, places: map[string]strictyaml.Position{}}
	channels := map[string]Channel{}
	for _, right := range d.Rights() {
		c := d.Model.Channel(right.Channel)
		at := func(path string, place rule.Place) {
			source.places[path] = strictyaml.Position{Line: place.Line, Column: place.Column}
		}
		path := strictyaml.Join("channels", c.Name)
		at(path, c.Place())
		at(path+".address", c.Field("address"))
		if !right.Read && !right.Write { // nothing is said of it
			r.add(problemAt(c.Place(), "channel "+c.Name+" has no operation, so that nobody may read or write it", "add an operation with send or receive"))
			continue
		}
		channels[c.Name] = Channel{Address: c.Address, Description: c.Rest.Get("description").Str(), Send: right.Read, Receive: right.Write}
	}
	v.Spec.Contract.Channels, v.Spec.Contract.source = channels, source
	return true
}

func problemAt(at rule.Place, message, fix string) Problem {
	return Problem{File: filepath.FromSlash(at.File), Line: at.Line, Column: at.Column, Message: message, Fix: fix, Warning: true}
}

// part reads a file that an AsyncAPI document refers to.
func (r *reader) part(file string) ([]byte, error) {
	r.include(file)
	before := len(r.problems)
	data, ok := r.load(file, Problem{File: file})
	if ok {
		return data, nil
	}
	message := "cannot be read"
	if len(r.problems) > before { // is told where it is referred to
		message = strings.TrimPrefix(r.problems[before].Message, "read "+file+": ")
		r.problems = r.problems[:before]
	}
	return nil, errors.New(message)
}
