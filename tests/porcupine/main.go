// Judges histories of one partition by porcupine (https://github.com/anishathalye/porcupine): whether reads of the whole list and
// appends on condition could have happened one after the other, each between its call and its return.
//
//	ANNALS_HISTORY_DIR=/tmp/histories cargo test -p annals-tests --test crash isolation::lists_of_one_partition
//	go run . /tmp/histories/*.jsonl
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"time"

	"github.com/anishathalye/porcupine"
)

// Event is one line of a history.
type Event struct {
	Client int    `json:"client"`
	Call   int64  `json:"call"`
	Return int64  `json:"return"`
	Kind   string `json:"kind"`
	// Of a read: what it saw.
	List []int `json:"list"`
	// Of an append: its value, how long the list was that it rests on, and whether it took effect.
	Value int  `json:"value"`
	Saw   int  `json:"saw"`
	Ok    bool `json:"ok"`
}

func same(one, other []int) bool {
	if len(one) != len(other) {
		return false
	}
	for at := range one {
		if one[at] != other[at] {
			return false
		}
	}
	return true
}

// A list; an append that is refused changes nothing, whatever the list is: ends of transactions count as appends, too.
var model = porcupine.Model{
	Init: func() interface{} { return []int{} },
	Step: func(state, input, output interface{}) (bool, interface{}) {
		list, event := state.([]int), input.(Event)
		switch {
		case event.Kind == "read":
			return same(list, event.List), list
		case !event.Ok:
			return true, list
		case event.Saw >= 0 && event.Saw != len(list):
			return false, list
		default:
			next := append(append([]int{}, list...), event.Value)
			return true, next
		}
	},
	Equal: func(one, other interface{}) bool { return same(one.([]int), other.([]int)) },
}

func check(events []Event) porcupine.CheckResult {
	var operations []porcupine.Operation
	for _, event := range events {
		operations = append(operations, porcupine.Operation{
			ClientId: event.Client, Input: event, Call: event.Call, Output: nil, Return: event.Return,
		})
	}
	return porcupine.CheckOperationsTimeout(model, operations, time.Minute)
}

func load(path string) ([]Event, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var events []Event
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event Event
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, lines.Err()
}

func main() {
	bad, operations := 0, 0
	for _, path := range os.Args[1:] {
		events, err := load(path)
		if err != nil {
			fmt.Println(path, err)
			os.Exit(2)
		}
		operations += len(events)
		if result := check(events); result != porcupine.Ok {
			fmt.Println(path, result)
			bad++
		}
	}
	fmt.Printf("%d histories, %d operations, %d not linearizable\n", len(os.Args)-1, operations, bad)
	if bad > 0 || operations == 0 {
		os.Exit(1)
	}
}
