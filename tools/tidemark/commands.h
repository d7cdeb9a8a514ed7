/* The subcommands, one function each: takes what follows its name, returns the exit code. */
#ifndef TIDEMARK_TOOL_COMMANDS_H
#define TIDEMARK_TOOL_COMMANDS_H

/* clang-format off */
#define TIDEMARK_COMMANDS(X)                                                                       \
    X(send, "sends lines, or made-up events")                                                      \
    X(consume, "runs a processor: shares the partitions, handles events, keeps checkpoints")       \
    X(peek, "reads a few events of a partition")                                                   \
    X(status, "who owns what, and how far behind")                                                 \
    X(checkpoint, "lists, sets, deletes, exports, imports and unlocks checkpoints")                \
    X(doctor, "tries every setting and says what is wrong and what to do")                          \
    X(hub, "properties of the hub and its partitions")                                             \
    X(size, "throughput units that a load needs, with the reasoning")
/* clang-format on */

#define X(name, what) int cmd_##name(int argc, char **argv);
TIDEMARK_COMMANDS(X)
#undef X

#endif
