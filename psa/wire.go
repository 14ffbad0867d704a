package psa

import (
	"github.com/holdfast-ipfs/holdfast/pin"
)

// createdLayout is RFC 3339 in UTC with exactly the precision that created
// has, which is all that JavaScript keeps.
const createdLayout = "2006-01-02T15:04:05.000Z"

// maxDelegates is the spec's bound on the delegates of a PinStatus.
const maxDelegates = 20

// Pin is the spec's Pin object, as it is sent.
type Pin struct {
	CID     string            `json:"cid"` // as the client wrote it
	Name    string            `json:"name,omitempty"`
	Origins []string          `json:"origins,omitempty"`
	Meta    map[string]string `json:"meta,omitempty"`
}

// PinStatus is the spec's PinStatus object. Make one with [NewPinStatus].
type PinStatus struct {
	RequestID string            `json:"requestid"`
	Status    pin.Status        `json:"status"`
	Created   string            `json:"created"` // RFC 3339, UTC, milliseconds
	Pin       Pin               `json:"pin"`
	Delegates []string          `json:"delegates"` // 1 to 20
	Info      map[string]string `json:"info,omitempty"`
}

// PinResults is the spec's PinResults object.
type PinResults struct {
	Count   int         `json:"count"`   // of all that match, on this page or not
	Results []PinStatus `json:"results"` // never null
}

// Failure is the spec's Failure object.
type Failure struct {
	Error FailureError `json:"error"`
}

// FailureError says what failed.
type FailureError struct {
	Reason  string `json:"reason"`            // for machines, such as NOT_FOUND
	Details string `json:"details,omitempty"` // for people
}

// NewPinStatus gives the PinStatus that tells of v. The delegates are best
// first, and those beyond the spec's 20 are dropped. The result shares v's
// maps and slices.
func NewPinStatus(v pin.View, delegates []string) PinStatus {
	return PinStatus{
		RequestID: v.ID,
		Status:    v.Status,
		Created:   v.Created.UTC().Format(createdLayout),
		Pin: Pin{
			CID:     v.CID,
			Name:    v.Name,
			Origins: v.Addresses(),
			Meta:    v.Meta,
		},
		Delegates: delegates[:min(len(delegates), maxDelegates)],
		Info:      v.Info,
	}
}

// NewPinResults gives the PinResults that tell of a page.
func NewPinResults(p pin.ViewPage, delegates []string) PinResults {
	results := make([]PinStatus, len(p.Views))
	for i, v := range p.Views {
		results[i] = NewPinStatus(v, delegates)
	}
	return PinResults{Count: p.Count, Results: results}
}
