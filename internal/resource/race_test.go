//go:build race

package resource

// raced: the race detector makes pools forget at random.
const raced = true
