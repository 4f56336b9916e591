//go:build !cgo

package main

// Without cgo there is no C heap.
func leakC(int64) int64 { return 0 }

var nativeExtra func(dir string) error
