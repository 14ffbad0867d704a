package store

// sizeOr0 gives the size in the value of a link or a note. It is what is told of a block,
// and nothing goes by it.
func sizeOr0(key, value []byte) int {
	size, err := decodeSize(key, value)
	if err != nil {
		return 0
	}
	return size
}
