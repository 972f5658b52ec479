package handler

import (
	"fmt"
	"maps"
	"slices"
)

// TopicConfigs are the configurations of topics that an application may set,
// with their bounds, in Markdown.
func TopicConfigs() (out []string) {
	for _, name := range slices.Sorted(maps.Keys(topicConfigs)) {
		out = append(out, fmt.Sprintf("`%s`: %s", name, topicConfigs[name]))
	}
	return out
}

// GroupConfigs are those of groups.
func GroupConfigs() (out []string) {
	for _, name := range slices.Sorted(maps.Keys(groupConfigs)) {
		out = append(out, "`"+name+"`")
	}
	return out
}
