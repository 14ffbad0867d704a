package pin

import "context"

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

// Quotas says what accounts may have. [Records] keep them: they count where they
// commit.
type Quotas interface {
	// Quota is what the account may have. It may be called by many goroutines, and
	// by methods of Records that are under way: it must not call these.
	Quota(ctx context.Context, account string) (Quota, error)
}
