package cli

import (
	"context"
	"github.com/spf13/cobra"
)

// DemoSetup is what the demo is told.
type DemoSetup struct{ DataDir string }

// Demo is a running demo.
type Demo interface{ Run(context.Context) error }

func newDemo(s Streams, p Programs) *cobra.Command { return &cobra.Command{Use: "demo"} }
func newTail(s Streams) *cobra.Command             { return &cobra.Command{Use: "tail"} }
func newProduce(s Streams) *cobra.Command          { return &cobra.Command{Use: "produce"} }
