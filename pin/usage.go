package pin

import "context"

// Usage is what an account takes up. What a pinned request held counts until the request
// that replaced it is done.
type Usage struct {
	Bytes  uint64 // of the DAGs that it has pinned, each DAG counted once
	Blocks uint64 // of the same DAGs
	DAGs   uint64 // how many these are
	Pins   uint64 // DAGs that it has queued, pinning or pinned, each DAG counted once
}

// Quota is what an account may have, counted as in [Usage]; 0 is no limit.
type Quota struct {
	Bytes uint64
	Pins  uint64
}

// Quotas says what accounts may have. [Requests].SetQuotas takes it: the records check it,
// since they count where they commit.
type Quotas interface {
	// Quota returns what the account may have. It may be called by many goroutines, and
	// during methods of Records, so it must not call those.
	Quota(ctx context.Context, account string) (Quota, error)
}
