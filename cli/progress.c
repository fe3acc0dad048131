/*
 * The progress line; see progress.h.
 *
 *   epoch 12/60 ━━━━━━━━━━━━━━━━━━━╸──────  10/16  loss 0.2812  mse 0.01583  8,123 images/s  ETA 0:42
 */
#include "progress.h"

#include <langinfo.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

static const double REDRAW_SECONDS = 0.05;
enum { WIDEST_BAR = 32, NARROWEST_BAR = 6, DEFAULT_COLUMNS = 80 };

double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

char *duration_text(char text[32], double seconds)
{
    if (!(seconds >= 0)) seconds = 0;
    if (seconds < 10) {
        snprintf(text, 32, "%.2f s", seconds);
        return text;
    }
    long long whole = (long long)fmin(seconds + 0.5, 1e9);
    if (whole < 60)
        snprintf(text, 32, "%.1f s", seconds);
    else if (whole < 3600)
        snprintf(text, 32, "%lld:%02lld", whole / 60, whole % 60);
    else
        snprintf(text, 32, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    return text;
}

/* What remains, always minutes and seconds so that the line does not jump. */
static char *clock_text(char text[32], double seconds)
{
    long long whole = (long long)fmin(fmax(seconds, 0) + 0.5, 3.6e6);
    if (whole < 3600)
        snprintf(text, 32, "%lld:%02lld", whole / 60, whole % 60);
    else
        snprintf(text, 32, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60, whole % 60);
    return text;
}

char *count_text(char text[32], int64_t count)
{
    char digits[32];
    int length = snprintf(digits, sizeof digits, "%lld", (long long)count), at = 0;
    for (int i = 0; i < length; i++) {
        if (i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0) text[at++] = ',';
        text[at++] = digits[i];
    }
    text[at] = '\0';
    return text;
}

void progress_open(progress *p, FILE *out, bool quiet, const convt_progress *done)
{
    const char *term = getenv("TERM"), *no_color = getenv("NO_COLOR");
    memset(p, 0, sizeof *p);
    setlocale(LC_CTYPE, "");
    p->out = out;
    p->quiet = quiet;
    p->terminal = isatty(fileno(out)) && term && *term && strcmp(term, "dumb") != 0;
    p->color = p->terminal && !(no_color && *no_color);
    p->unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0;
    p->first_epoch = done->epoch;
    p->before_batches = done->batch;
    p->before_samples = done->samples;
    p->started = p->epoch_started = seconds_now();
}

/* ---- the line on a terminal ------------------------------------------------------------------ */

static int terminal_columns(const progress *p)
{
    struct winsize size;
    const char *columns = getenv("COLUMNS");
    if (ioctl(fileno(p->out), TIOCGWINSZ, &size) == 0 && size.ws_col > 0) return size.ws_col;
    long number = columns ? strtol(columns, NULL, 10) : 0;
    return number > 0 && number < 10000 ? (int)number : DEFAULT_COLUMNS;
}

static void put_bar(const progress *p, int width, double share)
{
    int full = (int)(share * width * 2 + 0.5) / 2, half = (int)(share * width * 2 + 0.5) % 2;
    if (p->color) fputs("\033[36m", p->out);
    for (int i = 0; i < full; i++) fputs(p->unicode ? "\u2501" : "=", p->out);
    if (half) fputs(p->unicode ? "\u2578" : "-", p->out);
    if (p->color) fputs("\033[90m", p->out);
    for (int i = full + half; i < width; i++) fputs(p->unicode ? "\u2500" : " ", p->out);
    if (p->color) fputs("\033[0m", p->out);
}

typedef struct line {
    char head[64], tail[256]; /* all pieces and a terminator fit */
} line;

/* Pieces in order of how soon they are missed; as many as fit beside the smallest bar. */
static void compose(const progress *p, const convt_progress *now, int columns, line *l)
{
    char pieces[5][48], text[32];
    double seconds = seconds_now() - p->started;
    double all = (double)((now->epochs - p->first_epoch) * now->batches - p->before_batches);
    double eta = p->batches > 0 ? seconds / (double)p->batches * (all - (double)p->batches) : 0;
    double rate = seconds > 0 ? (double)p->samples / seconds : 0;
    snprintf(l->head, sizeof l->head, "epoch %lld/%lld ", (long long)now->epoch,
             (long long)now->epochs);
    snprintf(pieces[0], 48, " %lld/%lld", (long long)now->batch, (long long)now->batches);
    snprintf(pieces[1], 48, "  loss %.4f", now->loss);
    snprintf(pieces[2], 48, "  mse %.5f", now->mse);
    snprintf(pieces[3], 48, "  %s images/s", count_text(text, (int64_t)(rate + 0.5)));
    snprintf(pieces[4], 48, "  ETA %s", clock_text(text, eta));
    static const int missed[] = {4, 1, 2, 0, 3};
    bool shown[5] = {false};
    int room = columns - 1 - (int)strlen(l->head) - NARROWEST_BAR;
    for (size_t i = 0; i < 5; i++) {
        int length = (int)strlen(pieces[missed[i]]);
        shown[missed[i]] = length <= room;
        room -= shown[missed[i]] ? length : 0;
    }
    size_t at = 0;
    l->tail[0] = '\0';
    for (size_t i = 0; i < 5; i++) {
        if (shown[i]) at += (size_t)snprintf(l->tail + at, sizeof l->tail - at, "%s", pieces[i]);
    }
}

static void draw(progress *p, const convt_progress *now)
{
    line l;
    int columns = terminal_columns(p);
    compose(p, now, columns, &l);
    int bar = columns - 1 - (int)strlen(l.head) - (int)strlen(l.tail);
    bar = bar > WIDEST_BAR ? WIDEST_BAR : bar;
    fprintf(p->out, "\r%s", l.head);
    if (bar > 0) put_bar(p, bar, now->batches ? (double)now->batch / (double)now->batches : 1);
    fprintf(p->out, "%s\033[K", l.tail);
    fflush(p->out);
    p->shown = (int)strlen(l.head) + bar + (int)strlen(l.tail);
}

void progress_close(progress *p)
{
    if (p->shown > 0) {
        fputc('\n', p->out);
        fflush(p->out);
    }
    p->shown = 0;
}

/* ---- what the trainer calls ------------------------------------------------------------------ */

void progress_batch(progress *p, const convt_progress *now)
{
    double time = seconds_now();
    p->samples = p->finished + now->samples - p->before_samples;
    p->batches++;
    if (p->quiet || !p->terminal || time - p->drawn < REDRAW_SECONDS) return;
    p->drawn = time;
    draw(p, now);
}

static void print_epoch(const progress *p, const convt_progress *now, double seconds)
{
    char rate[32], time[32];
    int width = snprintf(NULL, 0, "%lld", (long long)now->epochs);
    fprintf(p->out, "epoch %*lld/%lld  loss %.6f  mse %.6f", width, (long long)now->epoch,
            (long long)now->epochs, now->loss, now->mse);
    if (!isnan(now->val_loss))
        fprintf(p->out, "  val_loss %.6f  val_mse %.6f", now->val_loss, now->val_mse);
    fprintf(p->out, "  %s images/s  %s\n",
            count_text(rate, (int64_t)((double)(p->samples - p->finished) / fmax(seconds, 1e-9))),
            duration_text(time, seconds));
    fflush(p->out);
}

void progress_epoch(progress *p, const convt_progress *now)
{
    double time = seconds_now(), seconds = time - p->epoch_started;
    if (!p->quiet && p->terminal) draw(p, now);
    if (!p->quiet && !p->terminal) print_epoch(p, now, seconds);
    p->epoch_started = time;
    p->finished = p->samples;
    p->before_samples = 0;
}
