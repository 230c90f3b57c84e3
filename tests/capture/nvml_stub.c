/*
 * A stand-in for NVIDIA's management library: what the tests need of its C interface.
 *
 * The environment decides what it tells:
 *   STUB_GPUS        number of devices (2)
 *   STUB_INIT        return code of the initialisation (0)
 *   STUB_LOST_AFTER  from this question about the load on, the devices are lost
 * Device 1 does not tell its power, and its memory is smaller.
 */
#include <stdlib.h>
#include <stdio.h>

enum { OK = 0, UNINITIALISED = 1, INVALID = 2, NOT_SUPPORTED = 3, LOST = 15 };

struct device { int number; };
struct load { unsigned gpu, memory; };
struct memory { unsigned long long total, free, used; };

static struct device devices[8] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};
static int sessions, questions;

static int setting(const char *name, int otherwise)
{
    const char *text = getenv(name);
    return text ? atoi(text) : otherwise;
}

int nvmlInitWithFlags(unsigned flags)
{
    int code = setting("STUB_INIT", OK);
    (void)flags;
    if (code == OK)
        sessions++;
    return code;
}

int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }

int nvmlShutdown(void)
{
    if (!sessions)
        return UNINITIALISED;
    sessions--;
    return OK;
}

const char *nvmlErrorString(int code)
{
    return code == LOST ? "GPU is lost" : code == 9 ? "Driver Not Loaded" : "stub error";
}

int nvmlDeviceGetCount_v2(unsigned *count)
{
    if (!sessions)
        return UNINITIALISED;
    *count = (unsigned)setting("STUB_GPUS", 2);
    return OK;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device)
{
    if (!sessions)
        return UNINITIALISED;
    if ((int)index >= setting("STUB_GPUS", 2))
        return INVALID;
    *device = &devices[index];
    return OK;
}

int nvmlSystemGetDriverVersion(char *text, unsigned length)
{
    snprintf(text, length, "599.01");
    return OK;
}

int nvmlSystemGetCudaDriverVersion_v2(int *version)
{
    *version = 12040;
    return OK;
}

int nvmlDeviceGetName(struct device *device, char *text, unsigned length)
{
    snprintf(text, length, "Stub GPU %c", 'A' + device->number);
    return OK;
}

int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory)
{
    memory->total = device->number ? 24000000000ULL : 80000000000ULL;
    memory->used = 1000000000ULL * (device->number + 1);
    memory->free = memory->total - memory->used;
    return OK;
}

int nvmlDeviceGetCudaComputeCapability(struct device *device, int *major, int *minor)
{
    (void)device;
    *major = 9;
    *minor = 0;
    return OK;
}

int nvmlDeviceGetUtilizationRates(struct device *device, struct load *load)
{
    int lost_after = setting("STUB_LOST_AFTER", -1);
    if (lost_after >= 0 && questions >= lost_after)
        return LOST;
    questions++;
    load->gpu = 40 + device->number;
    load->memory = 5;
    return OK;
}

int nvmlDeviceGetPowerUsage(struct device *device, unsigned *milliwatts)
{
    if (device->number == 1)
        return NOT_SUPPORTED;
    *milliwatts = 250500;
    return OK;
}

int nvmlDeviceGetTemperature(struct device *device, unsigned sensor, unsigned *celsius)
{
    (void)sensor;
    *celsius = 60 + device->number;
    return OK;
}
