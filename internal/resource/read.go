package resource

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"sluice/internal/strictyaml"
)

// What one set may hold.
const (
	MaxFiles     = 20_000
	MaxBytes     = 64 << 20
	MaxDocuments = 50_000
	MaxProblems  = 1000
	maxDirDepth  = 32
)

// Read reads files and directories (all *.yaml and *.yml below them, in the order
// of their names, hidden ones left out) and checks each document by itself. It
// returns what it could read, with every problem, by file and line; a set with a
// problem that Bad reports is not to be used.
func Read(paths ...string) (*Set, []Problem) { return newReader().read(paths) }

// ReadOpen is Read for documents that are sent to a server: states that are not
// written stay open, since they are for the server to say, and what contracts have
// in files of their own stands in the documents.
//
// The path - is what in holds; files that it refers to are relative to the working
// directory.
func ReadOpen(in io.Reader, paths ...string) (*Set, []Problem) {
	r := newReader()
	r.open = true
	files := slices.DeleteFunc(slices.Clone(paths), func(p string) bool { return p == standardInput })
	if len(files) < len(paths) {
		data, err := io.ReadAll(io.LimitReader(in, maxInput+1))
		switch {
		case err != nil:
			r.add(Problem{File: standardInput, Message: fmt.Sprintf("cannot be read: %s", err), Fix: "try again"})
		case len(data) > maxInput:
			r.add(Problem{File: standardInput, Message: fmt.Sprintf("is larger than %d bytes", maxInput), Fix: "name files"})
		default:
			r.parse(standardInput, data)
		}
	}
	return r.read(files)
}

const (
	standardInput = "-"
	maxInput      = 32 << 20 // bytes, as the server takes
)

func (r *reader) read(paths []string) (*Set, []Problem) {
	for _, file := range r.listAll(paths) {
		if data, ok := r.load(file, Problem{File: file}); ok {
			r.parse(file, data)
		}
	}
	return r.finish()
}

// Digest returns a text that tells the content of the documents at the paths, and
// of the other files that they were read with, from every other content; "" when
// something is missing or too much. It equals the Digest of the set that Read
// made, given its paths and the set's Read, if Read would make the same set now.
func Digest(paths, read []string) string {
	r := newReader()
	for _, file := range r.listAll(paths) {
		r.load(file, Problem{File: file})
	}
	for _, file := range read {
		if _, known := r.sums[file]; !known {
			r.load(file, Problem{File: file})
		}
	}
	if len(r.problems) > 0 {
		return ""
	}
	return r.digest()
}

func (r *reader) digest() string {
	if r.torn {
		return ""
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", r.paths)
	for _, file := range slices.Sorted(maps.Keys(r.sums)) {
		fmt.Fprintf(h, "%q %x\n", file, r.sums[file])
	}
	return hex.EncodeToString(h.Sum(nil))
}

// listAll lists the files at the paths, each once.
func (r *reader) listAll(paths []string) []string {
	r.paths = paths
	seen := map[string]bool{}
	var files []string
	for _, path := range paths {
		r.meet(path)
		for _, file := range r.list(path) {
			if clean := filepath.Clean(file); !seen[clean] {
				seen[clean] = true
				files = append(files, file)
			}
		}
	}
	return files
}

// ReadBytes is Read for one file that is already in memory; references in it are
// relative to the file's name.
func ReadBytes(file string, data []byte) (*Set, []Problem) {
	r := newReader()
	r.parse(file, data)
	return r.finish()
}

// ReadRequest is ReadBytes for what somebody asks a server for. States that are not
// written stay open, since they are for the server to say; files and secrets of
// whoever asks are not there.
func ReadRequest(name string, data []byte) (*Set, []Problem) {
	r := newReader()
	r.open, r.asked = true, true
	r.parse(name, data)
	return r.finish()
}

type reader struct {
	open     bool // states may stay open: see ReadOpen
	asked    bool // by somebody else: see ReadRequest
	set      *Set
	paths    []string // that Read was given
	problems []Problem
	files    map[string]bool              // read or referred to
	stamps   map[string]string            // of paths and files, as they were before they were read
	sums     map[string][sha256.Size]byte // of the files that were read
	torn     bool                         // one of them has changed meanwhile
	included map[string]bool              // parts of a document, not documents themselves
	strays   []Problem                    // documents without a kind, unless included
	names    map[string]Problem
	bytes    int
	count    int
}

func newReader() *reader {
	return &reader{set: &Set{}, files: map[string]bool{}, stamps: map[string]string{}, sums: map[string][sha256.Size]byte{}, included: map[string]bool{}, names: map[string]Problem{}}
}

func (r *reader) add(p Problem) {
	if len(r.problems) < MaxProblems {
		r.problems = append(r.problems, p)
	}
}

func (r *reader) finish() (*Set, []Problem) {
	for _, p := range r.strays {
		if !r.included[filepath.Clean(p.File)] {
			r.add(p)
		}
	}
	for file := range r.files {
		r.set.Files = append(r.set.Files, file)
	}
	slices.Sort(r.set.Files)
	r.set.Read, r.set.Digest = slices.Sorted(maps.Keys(r.sums)), r.digest()
	r.set.Stamp = hashed(slices.Concat(r.paths, r.set.Files), func(path string) string { return r.stamps[path] })
	slices.SortStableFunc(r.problems, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
	})
	if len(r.problems) == MaxProblems {
		r.problems = append(r.problems, Problem{Message: fmt.Sprintf("more than %d problems", MaxProblems), Fix: "repair the first ones"})
	}
	return r.set, r.problems
}

// list returns the YAML files at a path.
func (r *reader) list(path string) []string {
	files, err := walk(path)
	if err != nil {
		r.add(Problem{File: path, Message: reason(err), Fix: "check the path and its permissions"})
	} else if len(files) == 0 {
		r.add(Problem{File: path, Message: "holds no *.yaml or *.yml file", Fix: "check the path"})
	}
	return files
}

// walk lists the YAML files at a path. Links to files are followed, as mounted
// configuration has them; links to directories below the path are not.
func walk(path string) ([]string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{path}, nil
	}
	var files []string
	var visit func(dir string, depth int) error
	visit = func(dir string, depth int) error {
		if depth > maxDirDepth {
			return fmt.Errorf("directory %s is deeper than %d levels", dir, maxDirDepth)
		}
		entries, err := os.ReadDir(dir) // sorted
		if err != nil {
			return err
		}
		for _, e := range entries {
			name := filepath.Join(dir, e.Name())
			switch ext := filepath.Ext(e.Name()); {
			case strings.HasPrefix(e.Name(), "."):
			case e.IsDir():
				if err := visit(name, depth+1); err != nil {
					return err
				}
			case ext == ".yaml" || ext == ".yml":
				if len(files) == MaxFiles {
					return fmt.Errorf("more than %d files", MaxFiles)
				}
				if info, err := os.Stat(name); err != nil {
					return err
				} else if info.Mode().IsRegular() {
					files = append(files, name)
				}
			}
		}
		return nil
	}
	return files, visit(path, 0)
}

// load reads a file within the limits; failed is the problem to report with what
// went wrong filled in.
func (r *reader) load(file string, failed Problem) ([]byte, bool) {
	r.refer(file)
	fail := func(message, fix string) ([]byte, bool) {
		failed.Message, failed.Fix = message, fix
		r.add(failed)
		return nil, false
	}
	if info, err := os.Stat(file); err == nil && !info.Mode().IsRegular() { // opening a pipe would wait for a writer
		return fail(fmt.Sprintf("%s is not a file", file), "name a file")
	}
	f, err := os.Open(file)
	if err != nil {
		return fail(fmt.Sprintf("read %s: %s", file, reason(err)), "check the path and its permissions")
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, strictyaml.MaxFileBytes+1))
	if err != nil {
		return fail(fmt.Sprintf("read %s: %s", file, reason(err)), "check the file")
	}
	if r.bytes += len(data); r.bytes > MaxBytes {
		return fail(fmt.Sprintf("all files together have more than %d bytes", MaxBytes), "name fewer files")
	}
	sum := sha256.Sum256(data)
	if before, known := r.sums[file]; known && before != sum {
		r.torn = true
	}
	r.sums[file] = sum
	return data, true
}

// refer notes a file that is about to be read, here or by whoever uses the set.
func (r *reader) refer(file string) {
	r.files[file] = true
	r.meet(file)
}

func (r *reader) meet(path string) {
	if _, known := r.stamps[path]; !known {
		r.stamps[path] = stamp(path)
	}
}

// Stamp returns a short text that changes when a YAML file at one of the paths
// appears, goes or is written. Give it the paths that Read got and the Files of
// the set that came out, and compare it with the Stamp of the set.
func Stamp(paths ...string) string { return hashed(paths, stamp) }

func hashed(paths []string, stamp func(path string) string) string {
	h := sha256.New()
	for _, path := range paths {
		io.WriteString(h, stamp(path))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}

// stamp describes the files at one path.
func stamp(path string) string {
	var b strings.Builder
	files, err := walk(path)
	fmt.Fprintf(&b, "%q %t\n", path, err == nil)
	for _, file := range files {
		if info, err := os.Stat(file); err == nil {
			fmt.Fprintf(&b, "%q %d %d\n", file, info.Size(), info.ModTime().UnixNano())
		}
	}
	return b.String()
}

func reason(err error) string {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err.Error()
	}
	return err.Error()
}

func (r *reader) parse(file string, data []byte) {
	if looksAsyncAPI(data) { // of whoever names it
		r.strays = append(r.strays, Problem{File: file, Line: 1, Column: 1, Message: "is an AsyncAPI document that no Version names", Fix: "name it in spec.contract.file, or keep it elsewhere"})
		return
	}
	docs, problems := strictyaml.Parse(data)
	for _, p := range problems {
		if len(docs) == 0 { // a part of an AsyncAPI document may have what our own documents may not
			r.strays = append(r.strays, fromYAML(file, p))
		} else {
			r.add(fromYAML(file, p))
		}
	}
	for _, doc := range docs {
		if r.count++; r.count > MaxDocuments {
			r.add(Problem{File: file, Line: doc.Line, Column: 1, Message: fmt.Sprintf("more than %d documents", MaxDocuments), Fix: "name fewer files"})
			return
		}
		r.document(Source{File: file, doc: doc})
	}
}

func fromYAML(file string, p strictyaml.Problem) Problem {
	return Problem{File: file, Line: p.Line, Column: p.Column, Path: p.Path, Message: p.Message, Fix: p.Fix, Warning: p.Warning}
}

// documents is the table of kinds.
var documents = map[Kind]func(*reader, Source){
	KindOrganisation: func(r *reader, s Source) {
		decode(r, s, &r.set.Organisations, false, func(c checker, d *Organisation) { c.organisation(&d.Spec) })
	},
	KindTeam: func(r *reader, s Source) {
		decode(r, s, &r.set.Teams, false, func(c checker, d *Team) { c.team(&d.Spec) })
	},
	KindEnvironment: func(r *reader, s Source) {
		decode(r, s, &r.set.Environments, false, func(c checker, d *Environment) {
			c.environment(d.Name(), &d.Spec)
			c.staleness(d.Spec.MaxStaleness)
		})
	},
	KindCluster: func(r *reader, s Source) {
		decode(r, s, &r.set.Clusters, true, func(c checker, d *Cluster) { c.cluster(&d.Spec) })
	},
	KindGateway: func(r *reader, s Source) {
		decode(r, s, &r.set.Gateways, true, func(checker, *Gateway) {})
	},
	KindAPI: func(r *reader, s Source) {
		decode(r, s, &r.set.APIs, false, func(c checker, d *API) {
			r.pages(d)
			c.api(&d.Spec)
		})
	},
	KindVersion: func(r *reader, s Source) {
		decode(r, s, &r.set.Versions, false, func(c checker, d *Version) {
			if d.Spec.Lifecycle.State == "" && !r.open {
				d.Spec.Lifecycle.State = "draft"
			}
			c.version(d.Name(), &d.Spec)
			r.contract(d)
		})
	},
	KindProduct: func(r *reader, s Source) {
		decode(r, s, &r.set.Products, false, func(c checker, d *Product) {
			c.product(&d.Spec)
			for name, plan := range d.Spec.Plans {
				switch {
				case plan.Price.File == "":
				case r.asked:
					r.add(d.Problem("spec.plans."+name+".price.file", elsewhere, atHand))
				default:
					r.include(filepath.Join(filepath.Dir(s.File), plan.Price.File))
				}
			}
		})
	},
	KindApplication: func(r *reader, s Source) {
		decode(r, s, &r.set.Applications, false, func(c checker, d *Application) { c.application(&d.Spec) })
	},
	KindSubscription: func(r *reader, s Source) {
		decode(r, s, &r.set.Subscriptions, true, func(c checker, d *Subscription) {
			if d.Spec.State == "" && !r.open {
				d.Spec.State = "active"
			}
			c.subscription(&d.Spec)
		})
	},
	KindCredential: func(r *reader, s Source) {
		decode(r, s, &r.set.Credentials, true, func(c checker, d *Credential) {
			if d.Spec.State == "" && !r.open {
				d.Spec.State = "active"
			}
			c.credential(&d.Spec, r)
			if d.Spec.ClientID == "" && (d.Spec.Type == "plain" || d.Spec.Type == "scram" || d.Spec.OwnTokens()) {
				d.Spec.ClientID = d.Name()
			}
		})
	},
}

func (r *reader) document(s Source) {
	kind, version := s.doc.Peek("kind"), s.doc.Peek("apiVersion")
	at := func(path, message, fix string) Problem {
		p := s.problem(path, message, fix)
		p.Path = path
		return p
	}
	if kind == "" && version == "" {
		r.strays = append(r.strays, at("", "is not a document of "+APIVersion, "begin it with apiVersion: "+APIVersion+" and kind: …, or keep other files elsewhere"))
		return
	}
	if version != APIVersion {
		r.add(at("apiVersion", fmt.Sprintf("must be %s, not %q", APIVersion, clip(version)), "write apiVersion: "+APIVersion))
	}
	read, ok := documents[Kind(kind)]
	if !ok {
		kinds := make([]string, len(Kinds))
		for i, k := range Kinds {
			kinds[i] = string(k)
		}
		fix := "write one of " + strings.Join(kinds, ", ")
		if near := strictyaml.Nearest(kind, kinds); near != "" {
			fix = "did you mean " + near + "?"
		}
		r.add(at("kind", fmt.Sprintf("%q is not a kind", clip(kind)), fix))
		return
	}
	read(r, s)
}

func decode[S any](r *reader, s Source, into *[]*Document[S], scoped bool, check func(checker, *Document[S])) {
	d := &Document[S]{Source: s}
	unread := map[string]bool{} // what else is said about such a field would only confuse
	for _, p := range s.doc.Decode(d) {
		unread[p.Path] = true
		out := fromYAML(s.File, p)
		out.Kind, out.Name = d.Kind, d.Metadata.Name
		r.add(out)
	}
	for _, file := range strictyaml.Anchor(&d.Spec, filepath.Dir(s.File)) {
		r.refer(file)
	}
	c := checker{
		report: func(path, message, fix string) {
			if !unread[path] {
				r.add(d.Problem(path, message, fix))
			}
		},
		warn: func(path, message, fix string) { r.add(d.Warning(path, message, fix)) },
	}
	c.metadata(d.Metadata, scoped)
	check(c, d)
	if d.Name() != "" {
		key := string(d.Kind) + "/" + d.Name()
		if first, twice := r.names[key]; twice {
			r.add(d.Problem("metadata.name", fmt.Sprintf("there is another %s %s, in %s:%d", d.Kind, d.Name(), first.File, first.Line), "rename or remove one"))
			return
		}
		r.names[key] = d.Problem("metadata.name", "", "")
	}
	*into = append(*into, d)
}

// What is said of a file that only whoever asks has.
const (
	elsewhere = "is a file, which the server does not have"
	atHand    = "use sluice apply, which sends what is in it, or write it here"
)

// pages reads the pages of an API from their directory, for a server, which has no files.
func (r *reader) pages(d *API) {
	docs := &d.Spec.Docs
	switch {
	case docs.Dir == "" || docs.Pages != nil || !r.open: // a gateway shows none
		return
	case r.asked:
		r.add(d.Problem("spec.docs.dir", elsewhere, atHand))
		return
	}
	dir := docs.Dir
	if !filepath.IsAbs(dir) {
		dir = filepath.Join(filepath.Dir(d.Source.File), dir)
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		r.add(d.Problem("spec.docs.dir", fmt.Sprintf("read %s: %s", dir, reason(err)), "check the path and its permissions"))
		return
	}
	docs.Dir, docs.Pages = "", map[string]string{}
	for _, e := range entries {
		if name := e.Name(); filepath.Ext(name) == ".md" && !strings.HasPrefix(name, ".") && !e.IsDir() {
			if len(docs.Pages) > MaxPages {
				return // which is told
			}
			data, ok := r.load(filepath.Join(dir, name), d.Problem("spec.docs.dir", "", ""))
			if !ok {
				return
			}
			docs.Pages[name] = string(data)
		}
	}
	if len(docs.Pages) == 0 {
		r.add(d.Warning("spec.docs.dir", dir+" holds no *.md file", "check the path"))
	}
}

func (r *reader) include(file string) { r.included[filepath.Clean(file)] = true }

// contract reads the contract's file, if it is in one, and checks its channels.
func (r *reader) contract(v *Version) {
	c := &v.Spec.Contract
	if c.File != "" && (c.Channels != nil || c.AsyncAPI != "") {
		r.add(v.Problem("spec.contract", "is both here and in a file", "keep one"))
	} else if c.AsyncAPI != "" {
		if c.Channels != nil {
			r.add(v.Problem("spec.contract", "has channels besides an AsyncAPI document, from which they follow", "keep one"))
			return
		}
		if !r.inline(v) {
			return
		}
	} else if c.File != "" && r.asked {
		r.add(v.Problem("spec.contract.file", elsewhere, atHand))
		return
	} else if c.File != "" {
		file := c.File
		if !filepath.IsAbs(file) {
			file = filepath.Join(filepath.Dir(v.Source.File), file)
		}
		r.include(file)
		if !r.contractFile(v, file) {
			return
		}
	}
	if len(c.Channels) == 0 {
		r.add(v.Problem("spec.contract", "has no channels", "write channels: {orderPlaced: {address: orders.placed, send: true}}"))
	}
	if r.open {
		c.File = ""
	}
	channels(c, func(channel, field, message, fix string) { r.add(ChannelProblem(v, channel, field, message, fix)) })
}

func (r *reader) contractFile(v *Version, file string) bool {
	data, ok := r.load(file, v.Problem("spec.contract.file", "", ""))
	if !ok {
		return false
	}
	if looksAsyncAPI(data) {
		return r.asyncAPI(v, file, data)
	}
	docs, problems := strictyaml.Parse(data)
	for _, p := range problems {
		r.add(fromYAML(file, p))
	}
	if len(problems) > 0 {
		return false
	}
	if len(docs) != 1 {
		r.add(v.Problem("spec.contract.file", fmt.Sprintf("%s holds %d documents", file, len(docs)), "write one contract into it"))
		return false
	}
	var in struct {
		Channels map[string]Channel `json:"channels,omitzero"`
	}
	problems = docs[0].Decode(&in)
	for _, p := range problems {
		r.add(fromYAML(file, p))
	}
	v.Spec.Contract.Channels = in.Channels
	v.Spec.Contract.source = &Source{File: file, doc: docs[0]}
	return len(problems) == 0
}
