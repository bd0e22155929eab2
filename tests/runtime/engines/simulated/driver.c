/* A SIMULATED CUDA driver for tests: its GPUs' memory is the host's, its clock moves with the work.
 *
 * It is stricter than a GPU where that finds mistakes. Streams do nothing until they are waited for,
 * so that a missing wait shows. Asynchronous copies want pinned memory. Memory is filled with junk
 * when it is given out and when it is freed, and is never given out twice; touching it then is an
 * illegal address. Nothing here says anything about the speed or the arithmetic of a GPU.
 */
#include <cuda.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { GPUS = 2, DEPTH = 64, JUNK = 0xCD };
enum kind { COPY, CALL, RECORD };
enum counted { DEVICE_BYTES, PINNED_BYTES, STREAMS, EVENTS, GRAPHS, CONTEXTS, PUSHED, KINDS };

struct op {
    enum kind kind;
    void *to;
    const void *from;
    size_t bytes;
    CUhostFn call;
    CUevent event;
    struct op *next;
};
struct list { struct op *first, **end; };
struct CUctx_st { int device, retained; };
struct CUstream_st { CUcontext context; struct list queue, captured; int capturing, spoilt; };
struct CUevent_st { int recorded, done; double at; };
struct CUgraph_st { struct list work; };
struct CUgraphExec_st { struct list work; };
struct block { char *at; size_t bytes; int live, pinned, device; struct block *next; };

static struct CUctx_st contexts[GPUS] = {{0, 0}, {1, 0}};
static __thread CUcontext stack[DEPTH];
static __thread int depth;
static struct block *blocks;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long long counts[KINDS], by_gpu[GPUS];
static size_t room = 1u << 30;
static int gpus = GPUS, capturing;
static double now_ms;
static CUresult broken; /* as on a GPU, an illegal access makes all that follows fail */

#define NEED_CONTEXT                                                    \
    if (!depth) return CUDA_ERROR_INVALID_CONTEXT;                      \
    if (!stack[depth - 1]->retained) return CUDA_ERROR_CONTEXT_IS_DESTROYED

/* For the tests. */
long long simulated_count(int kind) { return kind == PUSHED ? depth : counts[kind]; }
long long simulated_used(int gpu) { return by_gpu[gpu]; }
double simulated_ms(void) { return now_ms; }
void simulated_set_gpus(int count) { gpus = count; }
void simulated_set_memory(size_t bytes) { room = bytes; }
void simulated_break(void) { broken = CUDA_ERROR_ILLEGAL_ADDRESS; }

static struct block *find(const void *at, size_t bytes, int pinned) {
    pthread_mutex_lock(&lock);
    struct block *block = blocks;
    const char *start = at;
    while (block && !(block->live && block->pinned == pinned && start >= block->at &&
                      start + bytes <= block->at + block->bytes))
        block = block->next;
    pthread_mutex_unlock(&lock);
    return block;
}
int simulated_holds(uint64_t at, size_t bytes) { return find((void *)at, bytes, 0) != NULL; }

/* Device, context. */
CUresult cuInit(unsigned flags) { return gpus ? CUDA_SUCCESS : CUDA_ERROR_NO_DEVICE; }
CUresult cuDriverGetVersion(int *version) { *version = CUDA_VERSION; return CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *count) { *count = gpus; return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    *device = ordinal;
    return ordinal < gpus ? CUDA_SUCCESS : CUDA_ERROR_INVALID_DEVICE;
}
CUresult cuDeviceGetName(char *name, int length, CUdevice device) {
    snprintf(name, length, "SIMULATED GPU %d", device);
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetPCIBusId(char *name, int length, CUdevice device) {
    snprintf(name, length, "0000:%02x:00.0", 0x10 - device); /* the other way round than CUDA's */
    return CUDA_SUCCESS;
}
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR) *value = 8;
    else if (attribute == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR) *value = device ? 6 : 9;
    else return CUDA_ERROR_NOT_SUPPORTED;
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) {
    *context = &contexts[device];
    contexts[device].retained++;
    counts[CONTEXTS]++;
    return CUDA_SUCCESS;
}
CUresult cuDevicePrimaryCtxRelease(CUdevice device) { /* pops nothing, as documented */
    contexts[device].retained--;
    counts[CONTEXTS]--;
    return CUDA_SUCCESS;
}
CUresult cuCtxPushCurrent(CUcontext context) {
    if (depth == DEPTH) return CUDA_ERROR_INVALID_VALUE;
    stack[depth++] = context;
    return CUDA_SUCCESS;
}
CUresult cuCtxPopCurrent(CUcontext *context) {
    if (!depth) return CUDA_ERROR_INVALID_CONTEXT;
    depth--;
    if (context) *context = stack[depth];
    return CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext *context) {
    *context = depth ? stack[depth - 1] : NULL;
    return CUDA_SUCCESS;
}
CUresult cuCtxGetDevice(CUdevice *device) {
    NEED_CONTEXT;
    *device = stack[depth - 1]->device;
    return CUDA_SUCCESS;
}

/* Memory. */
static CUresult give(void **at, size_t bytes, int pinned) {
    if (!bytes) return CUDA_ERROR_INVALID_VALUE;
    struct block *block = calloc(1, sizeof *block);
    block->at = aligned_alloc(256, (bytes + 255) / 256 * 256);
    block->bytes = bytes, block->live = 1, block->pinned = pinned;
    block->device = stack[depth - 1]->device;
    memset(block->at, JUNK, bytes);
    pthread_mutex_lock(&lock);
    block->next = blocks, blocks = block;
    counts[pinned ? PINNED_BYTES : DEVICE_BYTES] += bytes;
    if (!pinned) by_gpu[block->device] += bytes;
    pthread_mutex_unlock(&lock);
    *at = block->at;
    return CUDA_SUCCESS;
}
static CUresult take(void *at, int pinned) {
    struct block *block = find(at, 1, pinned);
    if (!block || block->at != at) return CUDA_ERROR_INVALID_VALUE;
    memset(block->at, JUNK, block->bytes);
    pthread_mutex_lock(&lock);
    block->live = 0;
    counts[pinned ? PINNED_BYTES : DEVICE_BYTES] -= block->bytes;
    if (!pinned) by_gpu[block->device] -= block->bytes;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}
CUresult cuMemAlloc(CUdeviceptr *at, size_t bytes) {
    NEED_CONTEXT;
    if (capturing) return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED;
    if (by_gpu[stack[depth - 1]->device] + bytes > room) return CUDA_ERROR_OUT_OF_MEMORY;
    return give((void **)at, bytes, 0);
}
CUresult cuMemFree(CUdeviceptr at) { NEED_CONTEXT; return take((void *)at, 0); }
CUresult cuMemHostAlloc(void **at, size_t bytes, unsigned flags) {
    NEED_CONTEXT;
    return give(at, bytes, 1);
}
CUresult cuMemFreeHost(void *at) { NEED_CONTEXT; return take(at, 1); }

/* Streams: a queue of work that runs when somebody waits for it. */
static void append(struct list *list, struct op op) {
    struct op *copy = malloc(sizeof op);
    *copy = op, copy->next = NULL;
    if (!list->first) list->end = &list->first;
    *list->end = copy, list->end = &copy->next;
}
static CUresult enqueue(CUstream stream, struct op op) {
    NEED_CONTEXT;
    if (stack[depth - 1] != stream->context) return CUDA_ERROR_INVALID_HANDLE;
    append(stream->capturing ? &stream->captured : &stream->queue, op);
    return broken;
}
static void run(struct op *op) {
    if (op->kind == RECORD) {
        op->event->done = 1, op->event->at = now_ms;
    } else if (op->kind == CALL) {
        op->call((void *)op->from);
        now_ms += 1; /* any network takes a millisecond */
    } else {
        int up = find(op->to, op->bytes, 0) && find(op->from, op->bytes, 1);
        int down = find(op->to, op->bytes, 1) && find(op->from, op->bytes, 0);
        if (!up && !down) { simulated_break(); return; }
        memcpy(op->to, op->from, op->bytes);
        now_ms += op->bytes / 1e6; /* a GB/s */
    }
}
CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    NEED_CONTEXT;
    *stream = calloc(1, sizeof **stream);
    (*stream)->context = stack[depth - 1];
    counts[STREAMS]++;
    return CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream stream) { NEED_CONTEXT; counts[STREAMS]--; return CUDA_SUCCESS; }
CUresult cuStreamSynchronize(CUstream stream) {
    NEED_CONTEXT;
    if (stream->capturing) { stream->spoilt = 1; return CUDA_ERROR_STREAM_CAPTURE_UNSUPPORTED; }
    for (struct op *op = stream->queue.first; op && !broken; op = op->next) run(op);
    stream->queue.first = NULL;
    return broken;
}
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t bytes, CUstream stream) {
    if (!find(from, bytes, 1) || !find((void *)to, bytes, 0)) return CUDA_ERROR_INVALID_VALUE;
    return enqueue(stream, (struct op){COPY, (void *)to, from, bytes});
}
CUresult cuMemcpyDtoHAsync(void *to, CUdeviceptr from, size_t bytes, CUstream stream) {
    if (!find(to, bytes, 1) || !find((void *)from, bytes, 0)) return CUDA_ERROR_INVALID_VALUE;
    return enqueue(stream, (struct op){COPY, to, (void *)from, bytes});
}
CUresult cuLaunchHostFunc(CUstream stream, CUhostFn call, void *data) {
    return enqueue(stream, (struct op){.kind = CALL, .from = data, .call = call});
}

/* Events. */
CUresult cuEventCreate(CUevent *event, unsigned flags) {
    NEED_CONTEXT;
    *event = calloc(1, sizeof **event);
    counts[EVENTS]++;
    return CUDA_SUCCESS;
}
CUresult cuEventDestroy(CUevent event) { NEED_CONTEXT; counts[EVENTS]--; return CUDA_SUCCESS; }
CUresult cuEventRecord(CUevent event, CUstream stream) {
    event->recorded = 1, event->done = 0;
    return enqueue(stream, (struct op){.kind = RECORD, .event = event});
}
CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) {
    if (!start->recorded || !end->recorded) return CUDA_ERROR_INVALID_HANDLE;
    if (!start->done || !end->done) return CUDA_ERROR_NOT_READY;
    *ms = end->at - start->at;
    return CUDA_SUCCESS;
}

/* Graphs. */
CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    NEED_CONTEXT;
    if (stream->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    stream->captured.first = NULL, stream->capturing = 1, stream->spoilt = 0, capturing++;
    return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    NEED_CONTEXT;
    if (!stream->capturing) return CUDA_ERROR_ILLEGAL_STATE;
    stream->capturing = 0, capturing--;
    *graph = NULL;
    if (stream->spoilt) return CUDA_ERROR_STREAM_CAPTURE_INVALIDATED;
    *graph = calloc(1, sizeof **graph);
    (*graph)->work = stream->captured;
    counts[GRAPHS]++;
    return CUDA_SUCCESS;
}
CUresult cuGraphInstantiateWithFlags(CUgraphExec *exec, CUgraph graph, unsigned long long flags) {
    NEED_CONTEXT;
    if (!graph || !graph->work.first) return CUDA_ERROR_INVALID_VALUE;
    *exec = calloc(1, sizeof **exec);
    (*exec)->work = graph->work;
    counts[GRAPHS]++;
    return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec exec, CUstream stream) {
    CUresult result = CUDA_SUCCESS;
    for (struct op *op = exec->work.first; op && !result; op = op->next)
        result = enqueue(stream, *op);
    return result;
}
CUresult cuGraphDestroy(CUgraph graph) { counts[GRAPHS] -= graph != NULL; return CUDA_SUCCESS; }
CUresult cuGraphExecDestroy(CUgraphExec exec) {
    if (!exec) return CUDA_ERROR_INVALID_VALUE;
    exec->work.first = NULL;
    counts[GRAPHS]--;
    return CUDA_SUCCESS;
}

CUresult cuGetErrorString(CUresult error, const char **text) {
    static __thread char line[64];
    snprintf(line, sizeof line, "%s (simulated, %d)",
             error == CUDA_ERROR_OUT_OF_MEMORY ? "out of memory" : "error", error);
    *text = line;
    return CUDA_SUCCESS;
}
