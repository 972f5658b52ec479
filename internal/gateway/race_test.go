//go:build race

package gateway

// raced: the race detector allocates too, and lets pools forget.
const raced = true
