package walktest

import "testing"

func TestStore(t *testing.T) {
	RunStore(t, func(t *testing.T) WalkStore { return NewStore(t) })
}
