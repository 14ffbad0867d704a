package requests

// What the tests of this room see of its inside.
const (
	ChunkBits       = chunkBits
	ChunksPerChange = chunksPerChange
)
