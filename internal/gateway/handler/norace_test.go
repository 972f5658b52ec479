//go:build !race

package handler

const raced = false
