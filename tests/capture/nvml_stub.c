/*
 * A stand-in for NVIDIA's management library: what the tests need of its C interface.
 *
 * The environment decides what it tells:
 *   STUB_GPUS        number of devices (2)
 *   STUB_INIT        return code of the initialisation (0)
 *   STUB_LOST_AFTER  from this question about the load on, the devices are lost
 *   STUB_LOST        the only device that is lost then; the others go on
 *   STUB_LOST_HANDLE, STUB_LOST_UUID, STUB_LOST_NAME  the device that is lost to that question
 *   STUB_REASONS     the bits that throttle each device, in decimal
 *   STUB_REFUSED     1: this process may not know clocks and memory errors
 *   STUB_MIG         1: device 0 is divided into two instances
 *   STUB_UNLIKE      1: no two devices have the same name (the default); 0: all have
 * Device 1 does not tell its power, energy and links, and its memory is smaller.
 */
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>

enum {
    OK = 0, UNINITIALISED = 1, INVALID = 2, NOT_SUPPORTED = 3, NO_PERMISSION = 4, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, LOST = 15, MISMATCH = 18
};

struct device { int number; };
struct load { unsigned gpu, memory; };
struct memory { unsigned long long total, free, used; };
struct process { unsigned pid; unsigned long long used; unsigned instance, compute; };
union value { double d; unsigned ui; unsigned long ul; unsigned long long ull; };
struct field { unsigned id, scope; long long when, latency; unsigned type; int code; union value v; };

static struct device devices[8] = {{0}, {1}, {2}, {3}, {4}, {5}, {6}, {7}};
static struct device instances[2] = {{100}, {101}};
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
    return code == LOST ? "GPU is lost"
        : code == 9 ? "Driver Not Loaded"
        : code == NO_PERMISSION ? "Insufficient Permissions"
        : code == MISMATCH ? "Driver/library version mismatch"
        : "stub error";
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
    if ((int)index == setting("STUB_LOST_HANDLE", -1))
        return LOST;
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
    if (device->number == setting("STUB_LOST_NAME", -1))
        return LOST;
    if (device->number >= 100)
        snprintf(text, length, "Stub GPU A MIG %d", device->number - 100);
    else
        snprintf(text, length, "Stub GPU %c", 'A' + (setting("STUB_UNLIKE", 1) ? device->number : 0));
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
    int lost = setting("STUB_LOST", device->number);
    if (device->number >= 100 || (!device->number && setting("STUB_MIG", 0)))
        return NOT_SUPPORTED;
    if (lost_after >= 0 && questions >= lost_after && lost == device->number)
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

int nvmlDeviceGetUUID(struct device *device, char *text, unsigned length)
{
    if (device->number == setting("STUB_LOST_UUID", -1))
        return LOST;
    if (device->number >= 100)
        snprintf(text, length, "MIG-%08d-0000", device->number - 100);
    else
        snprintf(text, length, "GPU-%08d-0000", device->number);
    return OK;
}

int nvmlDeviceGetMigMode(struct device *device, unsigned *now, unsigned *next)
{
    if (device->number || !setting("STUB_MIG", 0))
        return NOT_SUPPORTED;
    *now = *next = 1;
    return OK;
}

int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned *count)
{
    (void)device;
    *count = 7;
    return OK;
}

int nvmlDeviceGetMigDeviceHandleByIndex(struct device *device, unsigned index, struct device **out)
{
    (void)device;
    if (index >= 2)
        return NOT_FOUND;
    *out = &instances[index];
    return OK;
}

int nvmlDeviceGetClockInfo(struct device *device, unsigned clock, unsigned *megahertz)
{
    (void)device;
    if (setting("STUB_REFUSED", 0))
        return NO_PERMISSION;
    *megahertz = clock == 1 ? 1980 : 2619;
    return OK;
}

int nvmlDeviceGetCurrentClocksEventReasons(struct device *device, unsigned long long *reasons)
{
    *reasons = (unsigned long long)setting("STUB_REASONS", device->number ? 0x40 : 0x04);
    return OK;
}

int nvmlDeviceGetTotalEccErrors(struct device *device, unsigned kind, unsigned since,
                                unsigned long long *count)
{
    (void)since;
    if (setting("STUB_REFUSED", 0))
        return NO_PERMISSION;
    if (device->number == 1)
        return NOT_SUPPORTED;
    *count = kind ? 0 : 3;
    return OK;
}

/* Each question finds 500 J, 1 MB sent and 2 MB received on PCIe, 4 MiB sent on NVLink more. */
int nvmlDeviceGetFieldValues(struct device *device, int count, struct field *fields)
{
    static unsigned long long asked[128];
    unsigned long long time = asked[device->number]++;
    for (int i = 0; i < count; i++) {
        fields[i].type = 3;
        fields[i].code = device->number == 1 ? NOT_SUPPORTED : OK;
        switch (fields[i].id) {
        case 83: fields[i].v.ull = 7000000 + 500000 * time; break;
        case 197: fields[i].v.ull = 1000000 * time; break;
        case 198: fields[i].v.ull = 2000000 * time; break;
        case 138: fields[i].v.ull = fields[i].scope == 0xFFFFFFFFu ? 4096 * time : 0; break;
        default: fields[i].code = NOT_SUPPORTED;
        }
    }
    return OK;
}

int nvmlDeviceGetComputeRunningProcesses_v3(struct device *device, unsigned *count,
                                            struct process *processes)
{
    unsigned room = *count;
    *count = device->number ? 0 : 2;
    if (!*count)
        return OK;
    if (room < 2)
        return INSUFFICIENT_SIZE;
    processes[0] = (struct process){(unsigned)getpid(), 700000000ULL, 0, 0};
    processes[1] = (struct process){1, 300000000ULL, 0, 0};
    return OK;
}

struct place { char legacy[16]; unsigned domain, bus, device, ids, more_ids; char id[32]; };

int nvmlDeviceGetPciInfo_v3(struct device *device, struct place *place)
{
    snprintf(place->id, sizeof place->id, "00000000:%02X:00.0", device->number + 1);
    return OK;
}

int nvmlDeviceGetEccMode(struct device *device, unsigned *now, unsigned *next)
{
    if (device->number == 1)
        return NOT_SUPPORTED;
    *now = 1;
    *next = 0;
    return OK;
}

int nvmlDeviceGetMaxClockInfo(struct device *device, unsigned clock, unsigned *megahertz)
{
    (void)device;
    *megahertz = clock == 1 ? 1980 : clock == 2 ? 2619 : 0;
    return OK;
}

int nvmlDeviceGetPowerManagementLimit(struct device *device, unsigned *milliwatts)
{
    if (setting("STUB_LOST", -1) == device->number)
        return LOST;
    *milliwatts = 700000;
    return OK;
}
