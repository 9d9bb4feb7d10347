import time, numpy as np, warnings
warnings.filterwarnings("ignore")
from scipy import stats
import pandas as pd
def t(f, n=1):
    a=time.perf_counter(); r=None
    for _ in range(n): r=f()
    return r, (time.perf_counter()-a)/n
print("== bootstrap: ranking.metrics.intervals vs scipy.stats.bootstrap (users clustered)")
from components.ranking.metrics import intervals, per_row
rng=np.random.default_rng(1)
U=800; rows=2400; user=rng.integers(0,U,rows).astype(str); v={n: rng.random(rows) for n in "abc"}
ours,s=t(lambda: intervals(v,user,np.ones(rows,bool)))
print("ours",ours,f"{s:.3f}s")
_,code=np.unique(user,return_inverse=True)
n=np.bincount(code).astype(float)
def sc():
    out={}
    for k,x in v.items():
        sums=np.bincount(code,x)
        r=stats.bootstrap((sums,n),lambda a,b,axis=-1: a.sum(axis)/b.sum(axis),paired=True,vectorized=True,n_resamples=1000,method="percentile",random_state=np.random.default_rng(0))
        out[k]=[round(float(r.confidence_interval.low),5),round(float(r.confidence_interval.high),5)]
    return out
r,s=t(sc); print("scipy",r,f"{s:.3f}s")
print("== permutation: floor vs scipy.stats.permutation_test")
from monitoring.drift import permutation as P
a=pd.Series(rng.normal(size=1000)); b=pd.Series(rng.normal(size=10000))
f,s=t(lambda: P.floor(a,b,number=True)); print("ours",f,f"{s:.4f}s")
edges=np.histogram_bin_edges(pd.concat([b,a]),bins="sturges")
def stat(x,y):
    now=np.histogram(x,edges)[0]/len(x); then=np.histogram(y,edges)[0]/len(y)
    return P._psi(now[None],then[None])[0]
r,s=t(lambda: stats.permutation_test((a.to_numpy(),b.to_numpy()),stat,permutation_type="independent",n_resamples=200,random_state=0))
print("scipy null quantile (200 deals)",np.quantile(r.null_distribution,.999,method="higher"),f"{s:.2f}s -> {s*20:.1f}s at 4000")
print("cells deal only: scipy.stats.multivariate_hypergeom.rvs")
pooled=P._cells(a,b,number=True)
x,s=t(lambda: stats.multivariate_hypergeom.rvs(pooled,len(a),size=4000,random_state=0)); print("rvs",x.shape,f"{s:.4f}s")
y,s=t(lambda: np.random.default_rng(0).multivariate_hypergeometric(pooled,len(a),size=4000,method="marginals")); print("numpy",f"{s:.4f}s", (x==y).all())
from scipy.spatial.distance import jensenshannon
now=y/len(a); then=(pooled-y)/len(b)
o,s=t(lambda:P._distance(now,then),5); q,s2=t(lambda:jensenshannon(now,then,axis=1),5)
print("JS ours vs scipy max diff",np.nanmax(np.abs(o-q)),f"{s:.4f} {s2:.4f}", "nan" , np.isnan(q).sum())
# identical shares / empty cells
z=np.array([[.5,.5,0.],[.2,.8,0.]]); print("equal", P._distance(z,z), jensenshannon(z,z,axis=1))
kl=stats.entropy(then,now,axis=1)+stats.entropy(now,then,axis=1)
fn,ft=P._filled(now),P._filled(then)
print("psi as KL sums unnormalised:", np.abs(P._psi(now,then)-(__import__("scipy.special",fromlist=["rel_entr"]).rel_entr(fn,ft)+__import__("scipy.special",fromlist=["rel_entr"]).rel_entr(ft,fn)).sum(1)).max())
