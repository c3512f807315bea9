/*
 * Runs a fuzz target once over every file of a corpus, without libFuzzer.
 */

#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUT_BYTES_MAX (1u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* False when the file cannot be read whole. */
static int replay(const char *folder, const char *name)
{
    char path[4096];
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path) {
        return 0;
    }
    FILE *file = fopen(path, "rb");
    uint8_t *read = malloc(INPUT_BYTES_MAX);
    if (!file || !read) {
        return 0;
    }
    size_t size = fread(read, 1, INPUT_BYTES_MAX, file);
    int is_whole = feof(file) && !ferror(file);
    fclose(file);

    /* A block of exactly this size: reading past it is then found. */
    uint8_t *input = malloc(size ? size : 1);
    if (!is_whole || !input) {
        return 0;
    }
    memcpy(input, read, size);
    free(read);
    printf("%s (%zu bytes)\n", name, size);
    fflush(stdout); /* who crashes on it has named it */
    LLVMFuzzerTestOneInput(input, size);
    free(input);
    return 1;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s FOLDER\n", argv[0]);
        return 2;
    }
    DIR *folder = opendir(argv[1]);
    if (!folder) {
        perror(argv[1]);
        return 1;
    }
    unsigned count = 0;
    int all_read = 1;
    for (struct dirent *entry = readdir(folder); entry;
         entry = readdir(folder)) {
        if (entry->d_name[0] != '.') {
            all_read &= replay(argv[1], entry->d_name);
            count++;
        }
    }
    closedir(folder);
    printf("%u inputs\n", count);
    return all_read && count > 0 ? 0 : 1;
}
