package broker

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// This file depends on how kfake lays its data directory out (its format version 1): meta.json, and for each partition
// partitions/<topic>-<n>/ with segments <base offset>.dat and snapshot.json, written when it closes.

// readClusterID returns the id kfake wrote down, which is the one it answers with.
func readClusterID(dir string) (string, error) {
	b, err := os.ReadFile(filepath.Join(dir, "meta.json"))
	if err != nil {
		return "", fmt.Errorf("read the cluster id: %w", err)
	}
	var meta struct {
		ClusterID string `json:"cluster_id"`
	}
	if err := json.Unmarshal(b, &meta); err != nil {
		return "", fmt.Errorf("read the cluster id: %w", err)
	}
	return meta.ClusterID, nil
}

// keepOffsets works around a loss: a partition whose records have all been deleted (retention, DeleteRecords) has no
// segment file left, and kfake then ignores its snapshot and starts again at offset 0, behind what consumers have
// committed. An empty segment at the end of the log, listed in the snapshot, makes it read the snapshot.
func keepOffsets(dir string) error {
	partitions, err := os.ReadDir(filepath.Join(dir, "partitions"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, p := range partitions {
		if err := keepOffsetsOf(filepath.Join(dir, "partitions", p.Name())); err != nil {
			return fmt.Errorf("partition %s: %w", p.Name(), err)
		}
	}
	return nil
}

func keepOffsetsOf(dir string) error {
	path := filepath.Join(dir, "snapshot.json")
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var known struct {
		Version int   `json:"version"`
		End     int64 `json:"high_watermark"`
	}
	if json.Unmarshal(b, &known) != nil || known.Version != 1 || known.End == 0 {
		return nil // kfake reads or refuses it as it is
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var empty []string // left from an earlier time through here
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), ".dat") {
			continue
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		if info.Size() > 0 {
			return nil
		}
		empty = append(empty, filepath.Join(dir, e.Name()))
	}
	var snapshot map[string]json.RawMessage // all of it, to write back what we do not know
	if err := json.Unmarshal(b, &snapshot); err != nil {
		return err
	}
	end := strconv.FormatInt(known.End, 10)
	snapshot["segments"] = json.RawMessage(`[{"base_offset":` + end + `,"size":0}]`)
	snapshot["log_start_offset"] = json.RawMessage(end)
	if b, err = json.Marshal(snapshot); err != nil {
		return err
	}
	for _, name := range empty {
		if err := os.Remove(name); err != nil {
			return err
		}
	}
	if err := os.WriteFile(path+".new", b, 0o644); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, end+".dat"), nil, 0o644)
}
