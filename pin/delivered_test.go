package pin

import (
	"fmt"
	"reflect"
	"testing"
)

// The best few are named, and everybody counts.
func TestDelivered(t *testing.T) {
	var d Delivered
	if d.String() != "" || d.Blocks() != 0 {
		t.Errorf("nobody: %q, %d blocks", d, d.Blocks())
	}
	d.Add(Source{"a", 1, 10}, Source{"https://b.example", 3, 5})
	d.Add(Source{"a", 3, 5})
	want := []Source{{"a", 4, 15}, {"https://b.example", 3, 5}}
	if !reflect.DeepEqual(d.Sources, want) || d.Others != 0 {
		t.Errorf("%+v, want %+v", d, want)
	}
	if got, want := d.String(), "a (4 blocks, 15 bytes), https://b.example (3 blocks, 5 bytes)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	before := d
	for i := range 10 {
		d.Add(Source{fmt.Sprint("peer ", i), uint64(i), uint64(10 * i)})
	}
	if len(d.Sources) != maxSources || d.Others != 12-maxSources || d.Blocks() != 7+45 || d.Sources[0].Name != "peer 9" {
		t.Errorf("%+v", d)
	}
	if got, want := d.String(), "peer 9 (9 blocks, 90 bytes), peer 8 (8 blocks, 80 bytes), peer 7 (7 blocks, 70 bytes), peer 6 (6 blocks, 60 bytes), "+
		"peer 5 (5 blocks, 50 bytes), and 7 others (17 blocks, 120 bytes)"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if !reflect.DeepEqual(before.Sources, want) {
		t.Errorf("an earlier value changed: %+v", before)
	}
}
