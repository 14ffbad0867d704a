package pin

// Usage is what an account takes up.
type Usage struct {
	Bytes  uint64 // of the blocks of each DAG that it has pinned, each DAG counted once
	Blocks uint64 // of the same DAGs
	DAGs   uint64 // how many those are
	Pins   uint64 // requests that are queued, pinning or pinned
}
