package dagtest

import "testing"

func TestTreeIsWhatItSays(t *testing.T) {
	all := Tree(Leaves(10, 8), 3)
	if n, _ := Distinct(all); n != 10+4+2+1 {
		t.Fatalf("%d blocks", n)
	}
}
