package app

import (
	"context"
	"log/slog"
	"syscall"
)

// reservedDescriptors are for what is not a client: listeners, ports of brokers,
// own connections to target clusters, files, whoever asks for metrics.
const reservedDescriptors = 128

// connectionsWithin returns how many client connections so many descriptors
// carry: each takes one for the client and one for its broker.
func connectionsWithin(descriptors uint64) int {
	if descriptors <= 2*reservedDescriptors { // few: half of them
		return max(1, int(descriptors/4))
	}
	return int(min(descriptors-reservedDescriptors, 1<<31) / 2)
}

// withinDescriptors lowers a limit of connections to what the process may open,
// so that clients are refused at the door and do not find, once inside, that no
// broker can be reached.
func withinDescriptors(most int, log *slog.Logger) int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		return most
	}
	fit := connectionsWithin(r.Cur)
	if most <= fit {
		return most
	}
	level := slog.LevelInfo
	if fit < most-most/10 {
		level = slog.LevelWarn
	}
	log.Log(context.Background(), level, "fewer connections than limits.maxConnections: raise the limit of open files (ulimit -n, LimitNOFILE)",
		"max_connections", most, "open_files", r.Cur, "connections", fit)
	return fit
}
