package handler

import "testing"

func TestPatternsMatchWholeNames(t *testing.T) {
	for _, tc := range []struct {
		pattern, name string
		want          bool
	}{
		{"orders", "orders", true},
		{"orders", "orders.placed", false},
		{"placed", "orders.placed", false},
		{"orders.*", "orders.placed", true},
		{"a|ab", "ab", true},
		{"(?i)ORDERS", "orders", true},
		{`\Qorders.placed`, "orders.placed", true},
		{`\Qorders.`, "ordersX", false},
		{"", "", true},
		{"", "a", false},
		{"^orders$", "orders", true},
		{".*(?:orders).*", "my.orders.here", true},
	} {
		re, err := compilePattern(tc.pattern)
		if err != nil {
			t.Fatalf("%q: %v", tc.pattern, err)
		}
		if got := matchesWhole(re, tc.name); got != tc.want {
			t.Errorf("%q on %q: got %v", tc.pattern, tc.name, got)
		}
	}
	for _, bad := range []string{"(", "a{1001}", "(?:a?){1000}(?:a?){1000}", "((a{50}){50}){2}", string(make([]byte, 5000))} {
		if _, err := compilePattern(bad); err == nil {
			t.Errorf("%.40q is accepted", bad)
		}
	}
}
