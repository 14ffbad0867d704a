//go:build browser

package web

import (
	"bytes"
	"cmp"
	"flag"
	"image"
	"image/color"
	"image/png"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/chromedp/chromedp"
)

var shots = flag.String("shots", "", "directory to write screenshots to, from where the test runs; empty for none")

// shot writes a screenshot of the page, if that is asked for.
func (tab *tab) shot(what string, l look) {
	tab.t.Helper()
	if *shots == "" {
		return
	}
	var b []byte
	tab.run(chromedp.CaptureScreenshot(&b))
	small, err := smaller(b)
	if err != nil {
		tab.t.Fatal(err)
	}
	name := strings.NewReplacer(" ", "-", ",", "").Replace(what) + "." + l.name + ".png"
	if err := os.MkdirAll(*shots, 0o755); err != nil {
		tab.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*shots, name), small, 0o644); err != nil {
		tab.t.Fatal(err)
	}
}

// smaller writes a PNG with as few colours as nobody misses in a page of text.
func smaller(b []byte) ([]byte, error) {
	from, err := png.Decode(bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	// The colours of the page that are used most, and for the rest the nearest of them.
	count := map[color.RGBA]int{}
	at := from.Bounds()
	exact := func(x, y int) color.RGBA { return color.RGBAModel.Convert(from.At(x, y)).(color.RGBA) }
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			count[exact(x, y)]++
		}
	}
	all := slices.SortedFunc(maps.Keys(count), func(a, b color.RGBA) int {
		return cmp.Or(cmp.Compare(count[b], count[a]), cmp.Compare(a.R, b.R), cmp.Compare(a.G, b.G), cmp.Compare(a.B, b.B))
	})
	const colours = 64
	var palette color.Palette
	for _, c := range all[:min(colours, len(all))] {
		palette = append(palette, c)
	}
	to := image.NewPaletted(at, palette)
	near := map[color.RGBA]uint8{}
	for y := at.Min.Y; y < at.Max.Y; y++ {
		for x := at.Min.X; x < at.Max.X; x++ {
			c := exact(x, y)
			i, known := near[c]
			if !known {
				i = uint8(palette.Index(c))
				near[c] = i
			}
			to.SetColorIndex(x, y, i)
		}
	}
	var out bytes.Buffer
	err = (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, to)
	return out.Bytes(), err
}
