package handler

import (
	"bytes"
	"fmt"
	"testing"

	"sluice/internal/grant"
)

// A page costs what stands on it, not what the application has.
func BenchmarkDescribedPage(b *testing.B) {
	for _, n := range []int{100, 10_000} {
		g := granted(b, func(g *grant.Grant) {
			for i := range n {
				g.Topics = append(g.Topics, &grant.Topic{Exposed: fmt.Sprintf("x%05d", i), Backing: fmt.Sprintf("y%05d", i), ID: grant.TopicID{1, byte(i), byte(i >> 8)}, Read: grant.Right{Access: grant.Granted}, Phases: []grant.Phase{{State: grant.Open}}})
			}
		})
		serve := exchanger(g, still{}, new(bytes.Buffer))
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				serve(describeRequest(1, nil))
			}
		})
	}
}
