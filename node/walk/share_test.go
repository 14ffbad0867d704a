package walk

import "testing"

// However many walks there are, what they may keep together is bounded.
func TestSharesAreBounded(t *testing.T) {
	for name, of := range map[string]struct{ total, least int }{
		"seen":   {seenMost, seenLeast},
		"open":   {openMost, openLeast},
		"wait":   {waitMost, waitLeast},
		"loaded": {loadedMost, loadedLeast},
		"batch":  {batchMost, batchLeast},
	} {
		var s Share
		for n := 1; n <= 2000; n++ {
			s.join()
			share := s.of(of.total, of.least)
			if share*n > overMost*of.total {
				t.Fatalf("%d walks have %d each of %s, more than %d times %d", n, share, name, overMost, of.total)
			}
			if share < of.total/n || n <= overMost*of.total/of.least && share < of.least {
				t.Fatalf("%d walks have %d each of %s", n, share, name)
			}
		}
		for range 2000 {
			s.leave()
		}
		if share := s.of(of.total, of.least); share != of.total {
			t.Errorf("a walk alone has %d of %s", share, name)
		}
	}
}

// A share of nothing would be one by which no walk gets on.
func TestShareIsSomething(t *testing.T) {
	var s Share
	for range 10 {
		s.join()
	}
	if share := s.of(3, 1); share != 1 {
		t.Errorf("the share is %d", share)
	}
}
