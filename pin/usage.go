package pin

import "fmt"

// Usage is what an account takes up. What was pinned and is replaced counts until
// the request in its stead is done.
type Usage struct {
	Bytes  uint64 // of the blocks of each DAG that it has pinned, each DAG counted once
	Blocks uint64 // of the same DAGs
	DAGs   uint64 // how many those are
	Pins   uint64 // requests that are queued, pinning or pinned
}

// Quota is what an account may have; 0 is no limit. Of each it is as much as
// [Usage] counts.
type Quota struct {
	Bytes uint64
	Pins  uint64
}

// QuotaError says which quota an account has reached. It is an [ErrQuota], and
// fit to be shown to the account's owner.
type QuotaError struct {
	Pins  bool   // the quota of pins, or else that of bytes
	Used  uint64 // by the account, without what it asks for
	Asked uint64 // bytes that it asks for besides; 0 is not known
	Limit uint64
}

func (e *QuotaError) Error() string {
	switch {
	case e.Pins:
		return fmt.Sprintf("the account's quota of pins is reached: it has %d of %d", e.Used, e.Limit)
	case e.Asked == 0:
		return fmt.Sprintf("the account's quota of bytes is reached: its pins hold %d of %d bytes", e.Used, e.Limit)
	default:
		return fmt.Sprintf("the account's quota of bytes is reached: its other pins hold %d of %d bytes, and this one has %d",
			e.Used, e.Limit, e.Asked)
	}
}

// Is makes it an ErrQuota.
func (e *QuotaError) Is(target error) bool { return target == ErrQuota }
