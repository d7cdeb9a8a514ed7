// A worker of the official Go SDK; the same lines as js_worker.mjs.
//
//	worker HUB CONTAINER OUTPUT STRATEGY INTERVAL_MS EXPIRY_MS JOURNAL
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

var lock sync.Mutex

func write(path string, row map[string]any) {
	lock.Lock()
	defer lock.Unlock()
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	must(err)
	defer f.Close()
	must(json.NewEncoder(f).Encode(row))
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func duration(ms string) time.Duration {
	n, err := strconv.Atoi(ms)
	must(err)
	return time.Duration(n) * time.Millisecond
}

func read(ctx context.Context, p *azeventhubs.ProcessorPartitionClient, output, journal string) {
	write(journal, map[string]any{"t": float64(time.Now().UnixMicro()) / 1e6, "ev": "open", "partition": p.PartitionID()})
	defer func() {
		p.Close(context.Background())
		write(journal, map[string]any{"t": float64(time.Now().UnixMicro()) / 1e6, "ev": "close", "partition": p.PartitionID()})
	}()
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		events, err := p.ReceiveEvents(wait, 100, nil)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			fmt.Fprintln(os.Stderr, p.PartitionID(), err)
			return
		}
		for _, e := range events {
			write(output, map[string]any{"partition": p.PartitionID(), "sequence": e.SequenceNumber, "body": string(e.Body)})
		}
		if len(events) > 0 {
			if err := p.UpdateCheckpoint(ctx, events[len(events)-1], nil); err != nil {
				fmt.Fprintln(os.Stderr, p.PartitionID(), err)
			}
		}
	}
}

func main() {
	hub, name, output, strategy, interval, expiry, journal := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5], os.Args[6], os.Args[7]
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	where, err := container.NewClientFromConnectionString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), name, nil)
	must(err)
	store, err := checkpoints.NewBlobStore(where, nil)
	must(err)
	// In lower case: this SDK makes blob names of the names as they are given, the others fold them.
	client, err := azeventhubs.NewConsumerClientFromConnectionString(os.Getenv("EVENTHUB_CONNECTION_STRING"), hub, "$default", nil)
	must(err)
	earliest := true
	processor, err := azeventhubs.NewProcessor(client, store, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy:       azeventhubs.ProcessorStrategy(strategy),
		UpdateInterval:              duration(interval),
		PartitionExpirationDuration: duration(expiry),
		StartPositions:              azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: &earliest}},
	})
	must(err)
	var readers sync.WaitGroup
	go func() {
		for p := processor.NextPartitionClient(ctx); p != nil; p = processor.NextPartitionClient(ctx) {
			readers.Add(1)
			go func() {
				defer readers.Done()
				read(ctx, p, output, journal)
			}()
		}
	}()
	if err := processor.Run(ctx); err != nil && ctx.Err() == nil {
		must(err)
	}
	readers.Wait()
	client.Close(context.Background())
}
