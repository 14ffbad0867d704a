package pintest_test

import (
	"testing"
	"time"

	"github.com/holdfast-ipfs/holdfast/pin"
	"github.com/holdfast-ipfs/holdfast/pin/pintest"
)

func TestRecords(t *testing.T) {
	pintest.RunRecords(t, func(_ *testing.T, now func() time.Time) (pin.Records, func() pin.Records) {
		recs := pintest.NewRecords(now)
		return recs, func() pin.Records {
			recs = recs.Reopen()
			return recs
		}
	})
}
