package graph_test

import "github.com/holdfast-ipfs/holdfast/store/internal/roomtest"

var must = roomtest.Must
