package resource

import (
	"bytes"
	"errors"
	"fmt"
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
	documentField = regexp.MustCompile(`["']?apiVersion["']?\s*:`) // of ours, which may hold one
)

// looksAsyncAPI reports whether a file says of itself that it is an AsyncAPI document.
func looksAsyncAPI(data []byte) bool {
	if trimmed := bytes.TrimLeft(data, "\ufeff \t\r\n"); len(trimmed) > 0 && trimmed[0] == '{' {
		head := trimmed[:min(len(trimmed), 4096)]
		return asyncAPIField.Match(head) && !documentField.Match(head)
	}
	return asyncAPILine.Match(data)
}

// asyncAPI reads the contract of a version from an AsyncAPI document: what the
// provider sends and receives on each channel. Its problems have their places in the
// document; hints are for sluice lint.
func (r *reader) asyncAPI(v *Version, file string, data []byte) bool {
	parts := 0
	d := contract.Load(filepath.ToSlash(file), data, contract.Options{Resolve: func(location string) ([]byte, error) {
		if strings.Contains(location, "://") {
			return nil, contract.ErrRefused
		}
		parts++
		return r.part(filepath.FromSlash(location))
	}})
	source := &Source{File: file, places: map[string]strictyaml.Position{}}
	ok := r.offered(v, d, source, func(p rule.Problem) Problem {
		return Problem{File: filepath.FromSlash(p.File), Line: p.Line, Column: p.Column, Message: saying(p), Fix: p.Fix}
	})
	v.Spec.Contract.source = source
	if !ok || !r.open {
		return ok
	}
	v.Spec.Contract.AsyncAPI = string(data)
	if parts > 0 { // the server has no files: everything in one
		version := contract.Version30
		if strings.HasPrefix(d.Version, "3.1") {
			version = contract.Version31
		}
		v.Spec.Contract.AsyncAPI = string(d.Model.Emit(version).YAML())
	}
	return true
}

// inline is asyncAPI for a document that stands in the version itself.
func (r *reader) inline(v *Version) bool {
	d := contract.Load("", []byte(v.Spec.Contract.AsyncAPI), contract.Options{})
	return r.offered(v, d, nil, func(p rule.Problem) Problem {
		message := saying(p)
		if p.Line > 0 {
			message = fmt.Sprintf("line %d: %s", p.Line, message)
		}
		return v.Problem("spec.contract.asyncapi", message, p.Fix)
	})
}

// offered takes the channels of a version from an AsyncAPI document; places go to
// source, unless it is nil.
func (r *reader) offered(v *Version, d *contract.Document, source *Source, told func(rule.Problem) Problem) bool {
	tell := func(p rule.Problem) {
		problem := told(p)
		problem.Warning = p.Severity != rule.Error
		r.add(problem)
	}
	for _, p := range d.Problems {
		if p.Severity >= rule.Warning {
			tell(p)
		}
	}
	if d.Bad() {
		return false
	}
	channels := map[string]Channel{}
	for _, right := range d.Rights() {
		c := d.Model.Channel(right.Channel)
		if source != nil {
			path := strictyaml.Join("channels", c.Name)
			for at, place := range map[string]rule.Place{path: c.Place(), path + ".address": c.Field("address")} {
				source.places[at] = strictyaml.Position{Line: place.Line, Column: place.Column}
			}
		}
		if !right.Read && !right.Write { // nothing is said of it
			tell(rule.Problem{Severity: rule.Warning, Place: c.Place(), Message: "channel " + c.Name + " has no operation, so that nobody may read or write it", Fix: "add an operation with send or receive"})
			continue
		}
		channels[c.Name] = Channel{Address: c.Address, Description: c.Rest.Get("description").Str(), Send: right.Read, Receive: right.Write}
	}
	v.Spec.Contract.Channels = channels
	return true
}

// saying is what a problem of a contract says, with its rule.
func saying(p rule.Problem) string {
	if p.Rule == "" {
		return p.Message
	}
	return p.Message + " [" + p.Rule + "]"
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
