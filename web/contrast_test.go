package web_test

import (
	"maps"
	"math"
	"strconv"
	"testing"

	"sluice/web"
)

func TestContrast(t *testing.T) {
	light, dark, err := web.Themes()
	if err != nil {
		t.Fatal(err)
	}
	for name, theme := range map[string]web.Colours{"light": light, "dark": dark} {
		if len(theme) < 45 {
			t.Errorf("%s has %d colours only: tokens.css is not read whole", name, len(theme))
		}
		for _, m := range web.Misses(theme) {
			t.Errorf("%s: %s (%s) on %s (%s) has %.2f, and needs %.1f", name, m.Front, theme[m.Front], m.Back, theme[m.Back], m.Ratio, m.Needs)
		}
	}
	for _, tc := range []struct {
		name, token, colour string
		front, back         string
	}{
		{"a label that is too pale", "text-3", "#8d9ca6", "text-3", "bg"},
		{"a yellow button with white words", "accent", "#ffd400", "on-accent", "accent"},
		{"a surface that is too dark", "bg-selected", "#555555", "text", "bg-selected"},
		{"what is no colour", "focus", "red", "focus", "bg"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			theme := maps.Clone(light)
			theme[tc.token] = tc.colour
			for _, m := range web.Misses(theme) {
				if m.Front == tc.front && m.Back == tc.back && m.Ratio < m.Needs {
					return
				}
			}
			t.Errorf("%s = %s is not refused", tc.token, tc.colour)
		})
	}
}

// sights are simulations of full dichromacy on linear RGB (Viénot, Brettel, Mollon 1999; tritan after Brettel 1997, one plane).
var sights = map[string][3][3]float64{
	"full":   {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}},
	"protan": {{0.11238, 0.88762, 0}, {0.11238, 0.88762, 0}, {0.00401, -0.00401, 1}},
	"deutan": {{0.29275, 0.70725, 0}, {0.29275, 0.70725, 0}, {-0.02234, 0.02234, 1}},
	"tritan": {{1, 0.14461, -0.14461}, {0, 0.85924, 0.14076}, {0, 0.85924, 0.14076}},
}

// seen is a colour in OKLab, through eyes that see so.
func seen(t *testing.T, colour string, sight [3][3]float64) [3]float64 {
	t.Helper()
	var in, eye, out [3]float64
	for i := range in {
		n, err := strconv.ParseUint(colour[1+2*i:3+2*i], 16, 8)
		if err != nil {
			t.Fatal(err)
		}
		in[i] = float64(n) / 255
		if in[i] > 0.04045 {
			in[i] = math.Pow((in[i]+0.055)/1.055, 2.4)
		} else {
			in[i] /= 12.92
		}
	}
	times := func(m [3][3]float64, v [3]float64) (out [3]float64) {
		for i, row := range m {
			out[i] = row[0]*v[0] + row[1]*v[1] + row[2]*v[2]
		}
		return out
	}
	for i, v := range times(sight, in) {
		eye[i] = min(1, max(0, v))
	}
	for i, v := range times([3][3]float64{{0.4122214708, 0.5363325363, 0.0514459929}, {0.2119034982, 0.6806995451, 0.1073969566}, {0.0883024619, 0.2817188376, 0.6299787005}}, eye) {
		out[i] = math.Cbrt(v)
	}
	return times([3][3]float64{{0.2104542553, 0.7936177850, -0.0040720468}, {1.9779984951, -2.4285922050, 0.4505937099}, {0.0259040371, 0.7827717662, -0.8086757660}}, out)
}

// Lines of a chart stay apart for colour-blind readers: OKLab distance x 100.
func TestChartColours(t *testing.T) {
	const apart = 10
	light, dark, err := web.Themes()
	if err != nil {
		t.Fatal(err)
	}
	for name, theme := range map[string]web.Colours{"light": light, "dark": dark} {
		for sight, matrix := range sights {
			for a := 1; a <= 6; a++ {
				for b := a + 1; b <= 6; b++ {
					x, y := seen(t, theme["chart-"+strconv.Itoa(a)], matrix), seen(t, theme["chart-"+strconv.Itoa(b)], matrix)
					if d := 100 * math.Sqrt((x[0]-y[0])*(x[0]-y[0])+(x[1]-y[1])*(x[1]-y[1])+(x[2]-y[2])*(x[2]-y[2])); d < apart {
						t.Errorf("%s, %s: chart-%d and chart-%d are %.1f apart, and need %d", name, sight, a, b, d, apart)
					}
				}
			}
		}
	}
}
