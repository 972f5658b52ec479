package main

import (
	"strings"
	"testing"
	"time"
)

func TestApartReport(t *testing.T) {
	r := &apartReport{revocations: 7, took: map[string][]time.Duration{}}
	for i, what := range apartRows {
		for n := range 100 {
			r.took[what] = append(r.took[what], time.Duration(100*i+n+1)*time.Millisecond)
		}
	}
	page := string(r.markdown())
	for _, want := range []string{
		"57 applications with a credential each, 7 of them revoked",
		"| " + apartRevoke + " | 100 | 51.0 | 100.0 | 100.0 |",
		"| " + apartReturn + " | 100 | 351.0 | 400.0 | 400.0 |",
		"gateway: 50 before and after",
	} {
		if !strings.Contains(page, want) {
			t.Errorf("%q is missing in\n%s", want, page)
		}
	}
}
