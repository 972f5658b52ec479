//go:build race

package resource

// raced: the race detector makes SQLite, which is C made into Go, many times slower.
const raced = true
