//go:build race

package handler

// raced: the race detector allocates too, and lets pools forget.
const raced = true
