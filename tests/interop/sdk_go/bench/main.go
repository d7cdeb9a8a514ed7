// The official Go SDK's processor in the place of js_bench.mjs drain: the same lines.
//
//	bench CONTAINER PARTITIONS EVENTS WARM BATCH CHECKPOINT
//
// There is no default batch: 0 is 100.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2"
	"github.com/Azure/azure-sdk-for-go/sdk/messaging/azeventhubs/v2/checkpoints"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
)

type instant struct {
	wall time.Time
	cpu  float64
}

var (
	lock                      sync.Mutex
	handled, written          int
	begin, end                instant
	total, warm, batch, every int
	finished                  = make(chan struct{})
)

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) int {
	n, err := strconv.Atoi(text)
	must(err)
	return n
}

func tell(name string, value float64) {
	fmt.Printf("%s\t%g\t\n", name, value)
}

func now() instant {
	var u syscall.Rusage
	must(syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return instant{time.Now(), float64(u.Utime.Sec+u.Stime.Sec) + float64(u.Utime.Usec+u.Stime.Usec)/1e6}
}

func take(count int) {
	lock.Lock()
	defer lock.Unlock()
	before := handled
	handled += count
	if before == 0 {
		tell("first", 1)
	}
	if before <= warm && handled > warm {
		begin = now()
	}
	if before < total && handled >= total {
		end = now()
		close(finished)
	}
}

func read(ctx context.Context, p *azeventhubs.ProcessorPartitionClient) {
	defer p.Close(context.Background())
	since := 0
	for ctx.Err() == nil {
		wait, cancel := context.WithTimeout(ctx, time.Second)
		events, err := p.ReceiveEvents(wait, batch, nil)
		cancel()
		if err != nil && !errors.Is(err, context.DeadlineExceeded) {
			fmt.Fprintln(os.Stderr, p.PartitionID(), err)
			return
		}
		if len(events) == 0 {
			continue
		}
		take(len(events))
		if since += len(events); since >= every {
			since = 0
			must(p.UpdateCheckpoint(ctx, events[len(events)-1], nil))
			lock.Lock()
			written++
			lock.Unlock()
		}
	}
}

func main() {
	name := os.Args[1]
	total, warm, batch, every = number(os.Args[3]), number(os.Args[4]), number(os.Args[5]), number(os.Args[6])
	if batch == 0 {
		batch = 100
	}
	ctx := context.Background()
	where, err := container.NewClientFromConnectionString(os.Getenv("AZURE_STORAGE_CONNECTION_STRING"), name, nil)
	must(err)
	_, err = where.Create(ctx, nil)
	must(err)
	store, err := checkpoints.NewBlobStore(where, nil)
	must(err)
	client, err := azeventhubs.NewConsumerClientFromConnectionString(os.Getenv("EVENTHUB_CONNECTION_STRING"), "hub", "$default", nil)
	must(err)
	earliest := true
	processor, err := azeventhubs.NewProcessor(client, store, &azeventhubs.ProcessorOptions{
		LoadBalancingStrategy: azeventhubs.ProcessorStrategyGreedy,
		UpdateInterval:        time.Second,
		StartPositions:        azeventhubs.StartPositions{Default: azeventhubs.StartPosition{Earliest: &earliest}},
	})
	must(err)
	go func() {
		for p := processor.NextPartitionClient(ctx); p != nil; p = processor.NextPartitionClient(ctx) {
			go read(ctx, p)
		}
	}()
	go func() { must(processor.Run(ctx)) }()
	<-finished
	lock.Lock()
	defer lock.Unlock()
	tell("events", float64(total-warm))
	tell("warm", float64(warm))
	tell("seconds", end.wall.Sub(begin.wall).Seconds())
	tell("cpu", end.cpu-begin.cpu)
	tell("checkpoints", float64(written))
}
