package control

import (
	"context"
	"encoding/json"
	"fmt"

	"sluice/internal/resource"
)

// takePages takes the texts of an API's pages out of its document and leaves their
// digest. A document with the digest alone means the pages that are there. changed says
// that pages are to be written.
func takePages(d *resource.API, before *Record) (pages map[string]string, changed bool, err error) {
	had := ""
	if before != nil {
		had = before.Document.(*resource.API).Spec.Docs.Digest
	}
	docs := &d.Spec.Docs
	if docs.Digest != "" && docs.Digest != had {
		return nil, false, &ProblemsError{[]resource.Problem{d.Problem("spec.docs.digest", "is not that of the pages that the API has", "send the pages in spec.docs.pages, or remove the digest to go on without any")}}
	}
	if len(docs.Pages) > 0 {
		b, err := json.Marshal(docs.Pages) // in the order of names
		if err != nil {
			return nil, false, fmt.Errorf("bug: pages of %s: %w", d.Key(), err)
		}
		docs.Digest = digestOf(string(b))
	}
	pages, docs.Pages = docs.Pages, nil
	return pages, docs.Digest != had, nil
}

// Pages returns the documentation of an API as its provider wrote it, by the names of
// files, to somebody who may see the API.
func (p *Plane) Pages(ctx context.Context, q Request, api string) (map[string]string, error) {
	if _, err := p.Get(q, resource.Key{Kind: resource.KindAPI, Name: api}); err != nil {
		return nil, err
	}
	return p.PagesOf(ctx, api)
}

// PagesOf is Pages for whoever shows them.
func (p *Plane) PagesOf(ctx context.Context, api string) (pages map[string]string, err error) {
	err = p.store.Read(ctx, func(r Reader) error {
		pages, err = r.Pages(api)
		return err
	})
	return pages, err
}
