package main

import (
	"testing"

	"github.com/anishathalye/porcupine"
)

func read(call int64, list ...int) Event {
	return Event{Client: int(call), Call: call, Return: call + 3, Kind: "read", List: list}
}

func add(call int64, value, saw int, ok bool) Event {
	return Event{Client: int(call), Call: call, Return: call + 3, Kind: "append", Value: value, Saw: saw, Ok: ok}
}

func TestSound(t *testing.T) {
	history := []Event{add(1, 7, 0, true), add(2, 8, 0, false), read(3), read(10, 7), add(11, 9, 1, true), read(20, 7, 9)}
	if result := check(history); result != porcupine.Ok {
		t.Fatal(result)
	}
}

func TestPlanted(t *testing.T) {
	planted := map[string][]Event{
		"lost update":        {add(1, 7, 0, true), add(2, 8, 0, true)},
		"stale read":         {add(1, 7, 0, true), read(10)},
		"read of an abort":   {add(1, 7, 0, false), read(10, 7)},
		"time runs back":     {add(1, 7, 0, true), add(10, 8, 1, true), read(20, 8, 7)},
		"an append is gone":  {add(1, 7, 0, true), read(10, 7), read(20)},
		"rests on the past":  {add(1, 7, 0, true), add(10, 8, 0, true)},
		"there before it is": {read(1, 7), add(10, 7, 0, true)},
	}
	for name, history := range planted {
		if result := check(history); result != porcupine.Illegal {
			t.Errorf("%s: %v", name, result)
		}
	}
}
